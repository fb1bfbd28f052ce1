//! The Runtime API for one runtime at a time, as lean as it can be: what it costs is in every figure alike.
//!
//! One thread; it sleeps in poll, reads a request with as few reads as its size allows, and takes the time at the socket:
//! when a head has been read, when a request is whole, when an answer begins to be written. The emulator's own server
//! passes each call through two threads, which would be most of what is measured.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::moment::Moment;

/// How long a wait lasts before the caller is asked whether to go on.
const LOOK: Duration = Duration::from_millis(50);
/// A runtime that begins a request and does not end it.
const STALLED: Duration = Duration::from_secs(10);
const HEAD_LIMIT: usize = 256 * 1024;
const HEADER_COUNT: usize = 96;

pub struct RuntimeApi {
    listener: TcpListener,
    pub address: SocketAddr,
    connections: Vec<TcpStream>,
    /// The connection that asked for the next event, and whether it is to be closed after that.
    asking: Option<(TcpStream, Then)>,
    /// Read from the connection under way.
    buffer: Vec<u8>,
}

/// What a runtime asked or told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Next,
    Response { id: String, body: Vec<u8> },
    Error { id: String, body: Vec<u8> },
    InitError { body: Vec<u8> },
    Other { line: String },
}

/// A call, and when it was made.
#[derive(Debug)]
pub struct Heard {
    pub call: Call,
    /// Its head had been read.
    pub head: Moment,
    /// All of it had been read.
    pub whole: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Keep,
    Close,
}

/// One request as it came.
struct Request {
    heard: Heard,
    then: Then,
}

/// How the end of a body is known.
enum Framing {
    Length(usize),
    Chunked,
}

impl RuntimeApi {
    pub fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, connections: Vec::new(), asking: None, buffer: vec![0; 64 * 1024] })
    }

    /// The runtime's next call. Responses and errors are accepted at once; [`Call::Next`] is left waiting for
    /// [`RuntimeApi::hand_out`].
    ///
    /// `go_on` is asked every 50 ms of waiting; its error ends the wait.
    pub fn hear<E: From<io::Error>>(&mut self, mut go_on: impl FnMut() -> Result<(), E>) -> Result<Heard, E> {
        loop {
            let Some(at) = self.ready()? else {
                go_on()?;
                continue;
            };
            let mut stream = self.connections.swap_remove(at);
            let request = match self.read(&mut stream) {
                Ok(Some(request)) => request,
                // It closed, or died while it spoke; whoever waits for it sees that it is gone.
                Ok(None) => continue,
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => {
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match &request.heard.call {
                Call::Next => self.asking = Some((stream, request.then)),
                Call::Other { .. } => {
                    self.answer(stream, request.then, "404 Not Found", r#"{"errorType":"NotFound"}"#)?
                }
                _ => self.answer(stream, request.then, "202 Accepted", r#"{"status":"OK"}"#)?,
            }
            return Ok(request.heard);
        }
    }

    /// Gives the event to the runtime that has asked for it; returns when the writing began.
    pub fn hand_out(&mut self, headers: &str, event: &[u8]) -> io::Result<Moment> {
        let (mut stream, then) = self.asking.take().ok_or(io::ErrorKind::NotConnected)?;
        let connection = if then == Then::Close { "Connection: close\r\n" } else { "" };
        let mut bytes = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{headers}{connection}Content-Length: {}\r\n\r\n",
            event.len()
        )
        .into_bytes();
        bytes.extend_from_slice(event);
        let began = Moment::now();
        stream.write_all(&bytes)?;
        self.keep(stream, then);
        Ok(began)
    }

    /// The place of a connection with something to read; none when nothing came for a while.
    fn ready(&mut self) -> io::Result<Option<usize>> {
        let patience = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
        let mut asked: Vec<PollFd<'_>> =
            self.connections.iter().map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
        asked.push(PollFd::new(&self.listener, PollFlags::IN));
        match poll(&mut asked, Some(&patience)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let at = asked.iter().position(|one| !one.revents().is_empty());
        match at {
            Some(at) if at < self.connections.len() => Ok(Some(at)),
            Some(_) => {
                let (stream, _) = self.listener.accept()?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(STALLED))?;
                stream.set_write_timeout(Some(STALLED))?;
                self.connections.push(stream);
                // What it asks comes with the next look, at once.
                self.ready()
            }
            None => Ok(None),
        }
    }

    fn answer(&mut self, mut stream: TcpStream, then: Then, status: &str, body: &str) -> io::Result<()> {
        let connection = if then == Then::Close { "Connection: close\r\n" } else { "" };
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{connection}Content-Length: {length}\r\n\r\n{body}"
        );
        match stream.write_all(text.as_bytes()) {
            // A runtime need not wait for what we say.
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                self.keep(stream, then);
                Ok(())
            }
        }
    }

    fn keep(&mut self, stream: TcpStream, then: Then) {
        if then == Then::Keep {
            self.connections.push(stream);
        }
    }

    /// One request; none where the client has closed instead.
    fn read(&mut self, stream: &mut TcpStream) -> io::Result<Option<Request>> {
        let mut filled = 0;
        loop {
            let count = self.more(stream, filled)?;
            if count == 0 {
                return if filled == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            filled += count;
            let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT];
            let mut parsed = httparse::Request::new(&mut headers);
            let status = parsed.parse(&self.buffer[..filled]).map_err(malformed)?;
            let httparse::Status::Complete(head_length) = status else {
                if filled > HEAD_LIMIT {
                    return Err(malformed("its head has no end"));
                }
                continue;
            };
            let head = Moment::now();
            let method = parsed.method.unwrap_or_default().to_owned();
            let path = parsed.path.unwrap_or_default().to_owned();
            let says = |name: &str, word: &str| {
                let values = parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
                values.into_iter().any(|header| header.value.to_ascii_lowercase() == word.as_bytes())
            };
            let then = if says("connection", "close") { Then::Close } else { Then::Keep };
            let chunked = says("transfer-encoding", "chunked");
            let length = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
            let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
            let framing = if chunked { Framing::Chunked } else { Framing::Length(length.unwrap_or(0)) };
            if says("expect", "100-continue") {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let body = self.body(stream, head_length, filled, framing)?;
            let heard = Heard { call: call(&method, &path, body), head, whole: Moment::now() };
            return Ok(Some(Request { heard, then }));
        }
    }

    /// A body whose first bytes may stand in the buffer, from `start` to `filled`.
    fn body(
        &mut self,
        stream: &mut TcpStream,
        start: usize,
        mut filled: usize,
        framing: Framing,
    ) -> io::Result<Vec<u8>> {
        loop {
            let here = &self.buffer[start..filled];
            match framing {
                Framing::Length(length) if here.len() >= length => return Ok(here[..length].to_vec()),
                Framing::Length(_) => {}
                Framing::Chunked => {
                    if let Some(body) = unchunked(here)? {
                        return Ok(body);
                    }
                }
            }
            match self.more(stream, filled)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
    }

    fn more(&mut self, stream: &mut TcpStream, filled: usize) -> io::Result<usize> {
        if filled == self.buffer.len() {
            self.buffer.resize(filled * 2, 0);
        }
        stream.read(&mut self.buffer[filled..])
    }
}

fn call(method: &str, path: &str, body: Vec<u8>) -> Call {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        ("GET", ["2018-06-01", "runtime", "invocation", "next"]) => Call::Next,
        ("POST", ["2018-06-01", "runtime", "invocation", id, "response"]) => {
            Call::Response { id: (*id).to_owned(), body }
        }
        ("POST", ["2018-06-01", "runtime", "invocation", id, "error"]) => Call::Error { id: (*id).to_owned(), body },
        ("POST", ["2018-06-01", "runtime", "init", "error"]) => Call::InitError { body },
        _ => Call::Other { line: format!("{method} {path}") },
    }
}

/// The content of a chunked body; none while its end has not come. What its trailers say is not looked at.
fn unchunked(mut bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        match httparse::parse_chunk_size(bytes).map_err(|_| malformed("a chunk has no size"))? {
            httparse::Status::Partial => return Ok(None),
            httparse::Status::Complete((line, 0)) => {
                let rest = &bytes[line..];
                let whole = rest.starts_with(b"\r\n") || rest.windows(4).any(|end| end == b"\r\n\r\n");
                return Ok(whole.then_some(body));
            }
            httparse::Status::Complete((line, size)) => {
                let size = usize::try_from(size).map_err(malformed)?;
                let Some(content) = bytes.get(line..line + size) else { return Ok(None) };
                let Some(rest) = bytes.get(line + size + 2..) else { return Ok(None) };
                body.extend_from_slice(content);
                bytes = rest;
            }
        }
    }
}

fn malformed(why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the runtime sent what is no HTTP request: {why}"))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Plays a runtime: each text is sent on a connection of its own, and the answers come back.
    fn talk(texts: &[&str], mut serve: impl FnMut(&mut RuntimeApi) -> bool) -> Vec<String> {
        let mut api = RuntimeApi::listen().unwrap();
        let address = api.address;
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let client = thread::spawn(move || {
            let talk = |text: String| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(text.as_bytes()).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            };
            texts.into_iter().map(talk).collect()
        });
        while serve(&mut api) {}
        client.join().unwrap()
    }

    fn hear(api: &mut RuntimeApi) -> Heard {
        api.hear(|| Ok::<(), io::Error>(())).unwrap()
    }

    #[test]
    fn an_event_is_handed_out_and_its_response_taken() {
        let next = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nConnection: close\r\n\r\n";
        let response = "POST /2018-06-01/runtime/invocation/a/response HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        let mut calls = Vec::new();
        let answers = talk(&[next, response], |api| {
            let heard = hear(api);
            assert!(heard.whole >= heard.head);
            if heard.call == Call::Next {
                api.hand_out("Lambda-Runtime-Aws-Request-Id: a\r\n", b"{}").unwrap();
            }
            calls.push(heard.call);
            calls.len() < 2
        });
        assert_eq!(calls, [Call::Next, Call::Response { id: "a".into(), body: b"ok".to_vec() }]);
        assert!(answers[0].contains("Lambda-Runtime-Aws-Request-Id: a\r\n"), "{}", answers[0]);
        assert!(answers[0].ends_with("Content-Length: 2\r\n\r\n{}"), "{}", answers[0]);
        assert!(answers[1].starts_with("HTTP/1.1 202 "), "{}", answers[1]);
    }

    #[test]
    fn one_connection_carries_many_calls() {
        let mut api = RuntimeApi::listen().unwrap();
        let mut stream = TcpStream::connect(api.address).unwrap();
        for _ in 0..3 {
            stream.write_all(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n").unwrap();
            assert_eq!(hear(&mut api).call, Call::Next);
            api.hand_out("", b"12").unwrap();
            let mut answer = [0; 512];
            let count = stream.read(&mut answer).unwrap();
            assert!(answer[..count].ends_with(b"\r\n\r\n12"));
        }
        drop(stream);
        let mut looks = 0;
        let ended = api.hear(|| {
            looks += 1;
            if looks < 2 { Ok(()) } else { Err(io::Error::other("enough")) }
        });
        assert_eq!(ended.unwrap_err().to_string(), "enough");
        assert!(api.connections.is_empty());
    }

    #[test]
    fn bodies_may_come_in_chunks_and_pieces() {
        let whole = b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(unchunked(whole).unwrap(), Some(b"abc0123456789".to_vec()));
        for end in 0..whole.len() {
            assert_eq!(unchunked(&whole[..end]).unwrap(), None, "{end}");
        }
        assert_eq!(unchunked(b"0\r\nA: b\r\n\r\n").unwrap(), Some(vec![]));
        assert!(unchunked(b"xyz\r\n").is_err());
        let long = "z".repeat(200_000);
        let text = format!(
            "POST /2018-06-01/runtime/invocation/b/error HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{long}",
            long.len()
        );
        let mut heard = None;
        talk(&[&text], |api| {
            heard = Some(hear(api).call);
            false
        });
        assert_eq!(heard, Some(Call::Error { id: "b".into(), body: long.into_bytes() }));
    }

    #[test]
    fn what_is_not_the_runtimes_is_named() {
        for (method, path, expected) in [
            ("POST", "/2018-06-01/runtime/init/error", Call::InitError { body: vec![] }),
            ("GET", "/other", Call::Other { line: "GET /other".into() }),
            (
                "POST",
                "/2018-06-01/runtime/invocation/next",
                Call::Other { line: "POST /2018-06-01/runtime/invocation/next".into() },
            ),
        ] {
            assert_eq!(call(method, path, vec![]), expected);
        }
    }
}
