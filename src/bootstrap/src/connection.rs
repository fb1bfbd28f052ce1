//! HTTP/1.1 over one kept-alive connection: as much of it as the Runtime API speaks.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// More than all headers of the Runtime API together (the client context alone may have 3.5 kB).
const HEAD_LIMIT: usize = 256 * 1024;
const HEADER_COUNT: usize = 96;
/// The most that is read at once, of a head and of a body: what a peer claims is not reserved before it comes.
const HEAD_PIECE: usize = 8 * 1024;
const BODY_PIECE: usize = 64 * 1024;
/// The most memory that is kept from one reply to the next.
const SPARE_LIMIT: usize = 2 * 1024 * 1024;

pub struct Connection {
    /// `host:port`.
    host: String,
    stream: Option<TcpStream>,
    /// For the next reply: pages that were touched before cost nothing.
    spare: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the server keeps the connection open.
    keep_alive: bool,
}

impl Reply {
    /// The value of a header, `name` in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl Connection {
    pub fn new(host: String) -> Self {
        Connection { host, stream: None, spare: Vec::new() }
    }

    /// Takes the memory of a body that nobody needs any more. What a rare large event needed is given back to the system.
    pub fn recycle(&mut self, body: Vec<u8>) {
        if body.capacity() > self.spare.capacity() && body.capacity() <= SPARE_LIMIT {
            self.spare = body;
        }
    }

    /// Sends one request and waits for its reply, however long that takes.
    ///
    /// A kept connection that turns out to be closed is opened again, once.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
        let request = encode(&self.host, method, path, headers, body);
        if let Some(stream) = self.stream.take() {
            match self.exchange(stream, &request) {
                Err(error) if is_closed(&error) => {}
                result => return result,
            }
        }
        let stream = TcpStream::connect(address(&self.host)?)?;
        stream.set_nodelay(true)?;
        self.exchange(stream, &request)
    }

    fn exchange(&mut self, mut stream: TcpStream, request: &[u8]) -> io::Result<Reply> {
        // A server that refuses a large body answers and closes before it has read all: its answer says more than EPIPE.
        let written = stream.write_all(request);
        let reply = match (read_reply(&mut stream, mem::take(&mut self.spare)), written) {
            (Err(_), Err(error)) => return Err(error),
            (reply, _) => reply?,
        };
        if reply.keep_alive {
            self.stream = Some(stream);
        }
        Ok(reply)
    }
}

/// A request whose body is sent while it is made: in chunks, with trailers.
pub struct Upload {
    stream: TcpStream,
    /// A client may read as slowly as it likes, but nobody waits for it for longer.
    limit: Instant,
}

impl Upload {
    /// Sends the head, on a connection of its own: a kept one may turn out to be closed when part of the body is gone.
    pub fn open(host: &str, path: &str, headers: &[(&str, &str)], limit: Instant) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address(host)?)?;
        stream.set_nodelay(true)?;
        let mut head =
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n");
        headers.iter().for_each(|(name, value)| push_line(&mut head, name, value));
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        Ok(Upload { stream, limit })
    }

    /// One chunk; an empty one would end the body.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut chunk = Vec::with_capacity(bytes.len() + 16);
        chunk.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        let mut unsent = chunk.as_slice();
        while !unsent.is_empty() {
            let remaining = self.limit.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Err(io::Error::new(ErrorKind::TimedOut, "its client did not read it in time"));
            }
            self.stream.set_write_timeout(Some(remaining))?;
            match self.stream.write(unsent) {
                Ok(count) => unsent = &unsent[count..],
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The reply of a server that did not want the whole body.
    pub fn refusal(&mut self) -> Option<Reply> {
        read_reply(&mut self.stream, Vec::new()).ok()
    }

    /// Ends the body and waits for the reply.
    pub fn finish(mut self, trailers: &[(&str, &str)]) -> io::Result<Reply> {
        let mut end = "0\r\n".to_owned();
        trailers.iter().for_each(|(name, value)| push_line(&mut end, name, value));
        end.push_str("\r\n");
        let written = self.stream.write_all(end.as_bytes());
        match (read_reply(&mut self.stream, Vec::new()), written) {
            (Err(_), Err(error)) => Err(error),
            (reply, _) => reply,
        }
    }
}

fn push_line(head: &mut String, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        head.push_str(part);
    }
}

/// An address in numbers, as Lambda gives it, or `localhost:PORT`: asking for names would put half a megabyte of resolver
/// into this program.
fn address(host: &str) -> io::Result<SocketAddr> {
    let numeric = match host.strip_prefix("localhost:") {
        Some(port) => Cow::Owned(format!("127.0.0.1:{port}")),
        None => Cow::Borrowed(host),
    };
    numeric.parse().map_err(|_| {
        io::Error::new(ErrorKind::InvalidInput, format!("`{host}` is not an address with a port, like 127.0.0.1:9001"))
    })
}

fn is_closed(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn encode(host: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = Vec::with_capacity(512 + body.len());
    request.extend_from_slice(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n").as_bytes());
    for (name, value) in headers {
        request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if method != "GET" {
        request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    request
}

/// How the end of a body is known.
#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
    /// By the end of the connection.
    Close,
}

/// `input`: memory to be used, whatever is in it.
fn read_reply(stream: &mut impl Read, mut input: Vec<u8>) -> io::Result<Reply> {
    input.clear();
    loop {
        let (mut reply, framing, head) = match parse_head(&input)? {
            Some(parsed) => parsed,
            None if input.len() > HEAD_LIMIT => return Err(malformed("its headers are endless")),
            None => {
                more(stream, &mut input, HEAD_PIECE)?;
                continue;
            }
        };
        input.drain(..head);
        match framing {
            Framing::Length(length) => {
                while input.len() < length {
                    more(stream, &mut input, BODY_PIECE)?;
                }
                input.truncate(length);
                reply.body = input;
            }
            Framing::Chunked => reply.body = read_chunks(stream, input)?,
            Framing::Close => {
                stream.read_to_end(&mut input)?;
                reply.body = input;
            }
        }
        return Ok(reply);
    }
}

/// The reply without its body, how the body is framed, and how many bytes the head has; `None` while it is incomplete.
fn parse_head(input: &[u8]) -> io::Result<Option<(Reply, Framing, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT];
    let mut parsed = httparse::Response::new(&mut headers);
    let head = match parsed.parse(input).map_err(|error| malformed(&error.to_string()))? {
        httparse::Status::Complete(head) => head,
        httparse::Status::Partial => return Ok(None),
    };
    let status = parsed.code.unwrap_or(0);
    let reply = Reply {
        status,
        headers: parsed
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
            .collect(),
        body: Vec::new(),
        keep_alive: false,
    };
    let chunked = reply.header("Transfer-Encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let framing = match reply.header("Content-Length") {
        _ if status == 204 || status == 304 => Framing::Length(0),
        _ if chunked => Framing::Chunked,
        Some(length) => {
            Framing::Length(length.trim().parse().map_err(|_| malformed("its Content-Length is no number"))?)
        }
        None => Framing::Close,
    };
    let closes = reply.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let keep_alive = parsed.version == Some(1) && !closes && !matches!(framing, Framing::Close);
    Ok(Some((Reply { keep_alive, ..reply }, framing, head)))
}

/// The body of a chunked reply, of which `input` has been read already; trailers are read and dropped.
fn read_chunks(stream: &mut impl Read, mut input: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        match httparse::parse_chunk_size(&input[at..]) {
            Ok(httparse::Status::Complete((line, 0))) => {
                at += line;
                // The trailer section ends with an empty line.
                while !(input[at..].starts_with(b"\r\n") || input[at..].windows(4).any(|w| w == b"\r\n\r\n")) {
                    more(stream, &mut input, HEAD_PIECE)?;
                }
                return Ok(body);
            }
            Ok(httparse::Status::Complete((line, size))) => {
                let size = usize::try_from(size).ok().filter(|size| *size <= 1 << 30);
                let size = size.ok_or_else(|| malformed("a chunk of it is larger than any event"))?;
                while input.len() < at + line + size + 2 {
                    more(stream, &mut input, BODY_PIECE)?;
                }
                body.extend_from_slice(&input[at + line..at + line + size]);
                at += line + size + 2;
            }
            Ok(httparse::Status::Partial) => more(stream, &mut input, HEAD_PIECE)?,
            Err(_) => return Err(malformed("its chunks cannot be read")),
        }
    }
}

/// Waits for more bytes and takes as many as there are, at most `room`.
fn more(stream: &mut impl Read, input: &mut Vec<u8>, room: usize) -> io::Result<()> {
    let filled = input.len();
    input.resize(filled + room, 0);
    loop {
        match stream.read(&mut input[filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                input.truncate(filled + count);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn malformed(problem: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the reply is not HTTP: {problem}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Hands out one byte at a time: the worst that a network can do.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn replies_of_every_framing_are_read() {
        for (text, body, keep_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nhi", "hi", true),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\nX-A: b\r\n\r\nhi", "hi", false),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n1\r\nh\r\n3;x=y\r\ni!\n\r\n0\r\n\r\n",
                "hi!\n",
                true,
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n0\r\nT: 1\r\n\r\n", "", true),
            ("HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nto the end", "to the end", false),
            ("HTTP/1.0 200 OK\r\nX-A: b\r\nContent-Length: 1\r\n\r\nx", "x", false),
            ("HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", "", true),
        ] {
            let reply = read_reply(&mut Drip(text.as_bytes()), b"old".to_vec()).unwrap();
            assert_eq!((reply.body, reply.keep_alive), (body.as_bytes().to_vec(), keep_alive), "{text:?}");
        }
    }

    #[test]
    fn addresses_are_numbers_or_localhost() {
        for (host, expected) in [
            ("127.0.0.1:9001", Some("127.0.0.1:9001")),
            ("localhost:80", Some("127.0.0.1:80")),
            ("[::1]:9", Some("[::1]:9")),
            ("sandbox:80", None),
        ] {
            assert_eq!(address(host).ok().map(|address| address.to_string()).as_deref(), expected);
        }
    }

    #[test]
    fn a_client_that_does_not_read_is_waited_for_until_the_limit() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = server.local_addr().unwrap().to_string();
        let start = Instant::now();
        let mut upload = Upload::open(&host, "/", &[], start + Duration::from_millis(200)).unwrap();
        let error = (0..1000).find_map(|_| upload.write(&[0; 64 * 1024]).err()).expect("nobody reads 64 MB");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(200) && waited < Duration::from_secs(20), "{waited:?}");
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let reply =
            read_reply(&mut Drip(b"HTTP/1.1 200 OK\r\nLambda-Id: 7\r\nContent-Length: 0\r\n\r\n"), Vec::new()).unwrap();
        assert_eq!(reply.header("lambda-id"), Some("7"));
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        for text in [
            "",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
        ] {
            assert!(read_reply(&mut Drip(text.as_bytes()), b"old".to_vec()).is_err(), "{text:?}");
        }
    }
}
