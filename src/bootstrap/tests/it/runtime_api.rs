//! The Runtime API's side of HTTP: hands every call of the bootstrap over, on however many connections they come.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use serde_json::Value;

/// One call of the bootstrap.
#[derive(Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// When each piece of a chunked body came, and how much of the body was there then.
    pub pieces: Vec<(Instant, usize)>,
    pub trailers: Vec<(String, String)>,
}

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }

    pub fn trailer(&self, name: &str) -> Option<&str> {
        value(&self.trailers, name)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A call that waits for its reply.
pub struct Waiting {
    pub call: Call,
    reply: Sender<Vec<u8>>,
}

impl Waiting {
    pub fn reply(self, bytes: &[u8]) -> Call {
        // The bootstrap may be gone.
        let _ = self.reply.send(bytes.to_vec());
        self.call
    }
}

/// Listens until told otherwise.
pub struct Server {
    pub address: SocketAddr,
    pub calls: Receiver<Waiting>,
    closed: Arc<AtomicBool>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = channel();
        let closed = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&closed);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let sender = sender.clone();
                thread::spawn(move || serve(stream, &sender));
            }
        });
        Server { address, calls, closed }
    }

    /// Nobody answers here any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, calls: &Sender<Waiting>) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(call) = read_call(&mut reader) {
        let (reply, answered) = channel();
        if calls.send(Waiting { call, reply }).is_err() {
            return;
        }
        match answered.recv() {
            Ok(bytes) if writer.write_all(&bytes).is_ok() => {}
            _ => return,
        }
    }
}

fn read_call(connection: &mut BufReader<TcpStream>) -> Option<Call> {
    let mut line = String::new();
    if connection.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut first = line.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = read_fields(connection)?;
    let mut call = Call { method, path, headers, body: Vec::new(), pieces: Vec::new(), trailers: Vec::new() };
    if call.header("Transfer-Encoding") == Some("chunked") {
        loop {
            let mut size = String::new();
            connection.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
            if size == 0 {
                break;
            }
            let at = call.body.len();
            call.body.resize(at + size, 0);
            connection.read_exact(&mut call.body[at..]).ok()?;
            connection.read_line(&mut String::new()).ok()?;
            call.pieces.push((Instant::now(), call.body.len()));
        }
        call.trailers = read_fields(connection)?;
    } else {
        call.body = vec![0; call.header("Content-Length").map_or(0, |length| length.parse().unwrap())];
        connection.read_exact(&mut call.body).ok()?;
    }
    Some(call)
}

/// Up to the empty line.
fn read_fields(connection: &mut BufReader<TcpStream>) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => fields.push((name.to_owned(), value.to_owned())),
            None => return Some(fields),
        }
    }
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
