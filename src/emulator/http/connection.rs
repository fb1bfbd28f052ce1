//! One request in, one response out, over a kept-alive connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{Body, Head, Headers, Request, Response};

/// Request line and headers together; API Gateway allows 10 KiB, browsers send up to a few more.
const HEAD_LIMIT: u64 = 64 * 1024;
const HEADER_COUNT: usize = 256;

/// Why no request came out of a connection.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the request line and headers are longer than {HEAD_LIMIT} bytes")]
    HeadTooLong,
    #[error("not an HTTP/1 request: {0}")]
    Malformed(String),
}

impl ReadError {
    /// What to answer before closing, if anybody listens.
    pub fn status(&self) -> Option<u16> {
        match self {
            ReadError::Io(_) => None,
            ReadError::HeadTooLong => Some(431),
            ReadError::Malformed(_) => Some(400),
        }
    }
}

pub struct Connection {
    stream: BufReader<TcpStream>,
    pub peer: SocketAddr,
    body_limit: u64,
}

impl Connection {
    /// `body_limit` in bytes; a longer body is counted, not kept.
    pub fn new(stream: TcpStream, body_limit: u64) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?;
        Ok(Self { stream: BufReader::with_capacity(64 * 1024, stream), peer, body_limit })
    }

    /// The next request; none when the client has closed.
    pub fn read(&mut self) -> Result<Option<Request>, ReadError> {
        let Some(mut request) = self.read_head()? else { return Ok(None) };
        self.collect_body(&mut request)?;
        Ok(Some(request))
    }

    /// The next request without its body, which is then to be read; none when the client has closed.
    pub fn read_head(&mut self) -> Result<Option<Request>, ReadError> {
        self.head()?.map(|head| parse_head(&head)).transpose()
    }

    /// Reads the body of the request whose head was read last, each piece as it arrives, and its trailers.
    pub fn read_body(&mut self, request: &mut Request, into: &mut impl Write) -> Result<(), ReadError> {
        let chunked = request.headers.lists("transfer-encoding", "chunked");
        let length = match request.headers.get("content-length") {
            Some(length) if !chunked => {
                length.trim().parse().map_err(|_| ReadError::Malformed(format!("Content-Length: {length}")))?
            }
            _ => 0,
        };
        if request.headers.lists("expect", "100-continue") {
            self.stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if chunked {
            request.trailers = self.chunks(into)?;
            return Ok(());
        }
        self.take(length, into)
    }

    /// A whole body, as [`Connection::read`] keeps it.
    pub fn collect_body(&mut self, request: &mut Request) -> Result<(), ReadError> {
        let mut body = Collected { bytes: Vec::new(), size: 0, limit: self.body_limit };
        self.read_body(request, &mut body)?;
        request.body = body.finish();
        Ok(())
    }

    /// Sends the answer to `request`; true when the connection may carry another one.
    pub fn answer(&mut self, request: &Request, response: &Response) -> io::Result<bool> {
        self.write(response, request.method == "HEAD", request.close)?;
        Ok(!request.close)
    }

    /// Sends an answer and says that nothing follows it.
    pub fn answer_and_close(&mut self, response: &Response) -> io::Result<()> {
        self.write(response, false, true)
    }

    fn write(&mut self, response: &Response, head_only: bool, close: bool) -> io::Result<()> {
        let bodiless = response.head.is_bodiless();
        let mut out = response.head.write();
        if !bodiless {
            write!(out, "Content-Length: {}\r\n", response.body.len())?;
        }
        if close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if !bodiless && !head_only {
            out.extend_from_slice(&response.body);
        }
        self.stream.get_mut().write_all(&out)
    }

    /// Begins an answer whose body comes piece by piece.
    pub fn begin(&mut self, request: &Request, head: &Head) -> io::Result<Outgoing<'_>> {
        let framing = if request.method == "HEAD" || head.is_bodiless() {
            Framing::NoBody
        } else if request.old {
            Framing::UntilClose
        } else {
            Framing::Chunked
        };
        let mut out = head.write();
        match framing {
            Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::NoBody | Framing::UntilClose => {}
        }
        if request.close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        self.stream.get_mut().write_all(&out)?;
        Ok(Outgoing { stream: self.stream.get_mut(), framing, keep: !request.close })
    }

    /// Bytes up to and with the empty line; none at a clean end.
    fn head(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let mut head = Vec::new();
        loop {
            let start = head.len();
            self.line(&mut head)?;
            match &head[start..] {
                b"" if head.is_empty() => return Ok(None),
                b"" => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                b"\r\n" | b"\n" if start == 0 => head.clear(),
                b"\r\n" | b"\n" => return Ok(Some(head)),
                _ => {}
            }
        }
    }

    fn line(&mut self, into: &mut Vec<u8>) -> Result<(), ReadError> {
        let room = HEAD_LIMIT.saturating_sub(into.len() as u64);
        let count = (&mut self.stream).take(room).read_until(b'\n', into)? as u64;
        if count == room && into.last() != Some(&b'\n') { Err(ReadError::HeadTooLong) } else { Ok(()) }
    }

    fn take(&mut self, length: u64, body: &mut impl Write) -> Result<(), ReadError> {
        let copied = io::copy(&mut (&mut self.stream).take(length), body)?;
        if copied < length { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(()) }
    }

    fn chunks(&mut self, body: &mut impl Write) -> Result<Headers, ReadError> {
        loop {
            let mut line = Vec::new();
            self.line(&mut line)?;
            let text = String::from_utf8_lossy(&line);
            let size = text.split(';').next().unwrap_or_default().trim();
            let size =
                u64::from_str_radix(size, 16).map_err(|_| ReadError::Malformed(format!("chunk size `{size}`")))?;
            if size == 0 {
                return self.trailers();
            }
            self.take(size, body)?;
            line.clear();
            self.line(&mut line)?;
        }
    }

    fn trailers(&mut self) -> Result<Headers, ReadError> {
        let mut lines = Vec::new();
        loop {
            let start = lines.len();
            self.line(&mut lines)?;
            if matches!(&lines[start..], b"\r\n" | b"\n" | b"") {
                break;
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT];
        match httparse::parse_headers(&lines, &mut headers) {
            Ok(httparse::Status::Complete((_, headers))) => Ok(collect(headers)),
            Ok(httparse::Status::Partial) => Ok(Headers::default()),
            Err(error) => Err(ReadError::Malformed(error.to_string())),
        }
    }
}

/// How the client knows where a body ends that nobody has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    UntilClose,
    NoBody,
}

/// An answer under way. Dropped without [`Outgoing::finish`] it has no end, which is how the client hears of a failure;
/// the connection must then be closed.
pub struct Outgoing<'a> {
    stream: &'a mut TcpStream,
    framing: Framing,
    keep: bool,
}

impl Outgoing<'_> {
    /// Sends a piece at once.
    pub fn send(&mut self, piece: &[u8]) -> io::Result<()> {
        match self.framing {
            // An empty chunk would be the end.
            _ if piece.is_empty() => Ok(()),
            Framing::NoBody => Ok(()),
            Framing::UntilClose => self.stream.write_all(piece),
            Framing::Chunked => {
                let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                chunk.extend_from_slice(piece);
                chunk.extend_from_slice(b"\r\n");
                self.stream.write_all(&chunk)
            }
        }
    }

    /// Says that this was all; true when the connection may carry another answer.
    pub fn finish(self) -> io::Result<bool> {
        if self.framing == Framing::Chunked {
            self.stream.write_all(b"0\r\n\r\n")?;
        }
        Ok(self.keep)
    }
}

fn parse_head(head: &[u8]) -> Result<Request, ReadError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(ReadError::Malformed("the head has no end".into())),
        Err(error) => return Err(ReadError::Malformed(error.to_string())),
    }
    let version = parsed.version;
    let method = parsed.method.unwrap_or_default();
    let target = parsed.path.unwrap_or_default();
    let mut request = Request::made(method, target, collect(parsed.headers), Vec::new());
    request.old = version == Some(0);
    request.close = request.old || request.headers.lists("connection", "close");
    Ok(request)
}

fn collect(headers: &[httparse::Header<'_>]) -> Headers {
    let pair =
        |header: &httparse::Header<'_>| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned());
    Headers(headers.iter().map(pair).collect())
}

/// Keeps what is within the limit and counts the rest.
struct Collected {
    bytes: Vec<u8>,
    size: u64,
    limit: u64,
}

impl Collected {
    fn finish(self) -> Body {
        if self.size > self.limit { Body::TooLarge { size: self.size } } else { Body::Whole(self.bytes) }
    }
}

impl Write for Collected {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.size += buffer.len() as u64;
        if self.size <= self.limit {
            self.bytes.extend_from_slice(buffer);
        } else {
            self.bytes = Vec::new();
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What the server side reads when a client sends `bytes` and closes its half.
    fn read(bytes: &[u8], limit: u64) -> Vec<Result<Request, ReadError>> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bytes = bytes.to_vec();
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            // A server that refuses the head closes on what it has not read.
            let _ = stream.write_all(&bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let mut connection = Connection::new(listener.accept().unwrap().0, limit).unwrap();
        let mut requests = Vec::new();
        while let Some(request) = connection.read().transpose() {
            let broken = request.is_err();
            requests.push(request);
            if broken {
                break;
            }
        }
        drop(connection);
        client.join().unwrap();
        requests
    }

    #[test]
    fn two_requests_share_a_connection() {
        let requests = read(
            b"POST /a?b=c?d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            10,
        );
        let first = requests[0].as_ref().unwrap();
        assert_eq!((first.path(), first.query()), ("/a", "b=c?d"));
        assert_eq!(first.body, Body::Whole(b"abc".to_vec()));
        assert_eq!(requests[1].as_ref().unwrap().method, "GET");
        assert_eq!(requests.len(), 2);
    }

    #[test]
    fn chunks_are_joined_and_trailers_kept() {
        let requests = read(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
            99,
        );
        let request = requests[0].as_ref().unwrap();
        assert_eq!(request.body, Body::Whole(b"abc0123456789".to_vec()));
        assert_eq!(request.trailers.get("t"), Some("v"));
    }

    #[test]
    fn a_body_over_the_limit_is_counted_and_the_next_request_still_comes() {
        let requests = read(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcdGET /b HTTP/1.1\r\n\r\n", 3);
        assert_eq!(requests[0].as_ref().unwrap().body, Body::TooLarge { size: 4 });
        assert_eq!(requests[1].as_ref().unwrap().path(), "/b");
    }

    #[test]
    fn nonsense_and_endless_heads_are_refused() {
        assert_eq!(read(b"hello\r\n\r\n", 9)[0].as_ref().unwrap_err().status(), Some(400));
        let endless = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(70_000));
        assert_eq!(read(endless.as_bytes(), 9)[0].as_ref().unwrap_err().status(), Some(431));
        assert_eq!(read(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", 9)[0].as_ref().unwrap_err().status(), None);
    }
}
