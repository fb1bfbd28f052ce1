//! Three calls of S3 in a thread of the test: it keeps objects, and fails as it is told.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::http_server;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Head,
    Get,
    Put,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Refused with this status and code.
    Refuse(u16, &'static str),
    /// Nothing is said for so long; then the connection is cut.
    Silence(Duration),
    /// The head of the answer, half of the body, then the connection is cut.
    HalfWay,
    /// One byte now and then.
    Dribble,
    /// The server does not know `If-None-Match`.
    NoConditions,
    /// Refused with this status and code, by a bucket in this region.
    InRegion(u16, &'static str, &'static str),
}

#[derive(Clone, Debug)]
pub struct Object {
    pub bytes: Vec<u8>,
    pub sha256: Option<String>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    rules: Vec<(Call, Fault, usize)>,
    calls: Vec<(Call, String)>,
    authorizations: Vec<String>,
    /// After so many calls every connection is cut.
    alive: Option<usize>,
}

/// A running fake; its thread ends with the test process.
pub struct FakeS3 {
    address: String,
    state: Arc<Mutex<State>>,
}

impl FakeS3 {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        Self { address: http_server::listen(move |stream| serve(stream, &shared)), state }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// The next `times` such calls go wrong so.
    pub fn fail(&self, call: Call, fault: Fault, times: usize) {
        self.state.lock().unwrap().rules.push((call, fault, times));
    }

    /// Answers so many calls more, and then none.
    pub fn die_after(&self, calls: usize) {
        self.state.lock().unwrap().alive = Some(calls);
    }

    pub fn count(&self, call: Call) -> usize {
        self.state.lock().unwrap().calls.iter().filter(|(made, _)| *made == call).count()
    }

    /// Names of all objects, `BUCKET/KEY`.
    pub fn names(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }

    pub fn object(&self, name: &str) -> Object {
        self.state.lock().unwrap().objects[name].clone()
    }

    pub fn change(&self, name: &str, change: impl FnOnce(&mut Object)) {
        change(self.state.lock().unwrap().objects.get_mut(name).unwrap());
    }

    pub fn remove(&self, name: &str) {
        self.state.lock().unwrap().objects.remove(name).unwrap();
    }

    /// Every call was signed with these credentials' name.
    pub fn all_signed_by(&self, access_key: &str) -> bool {
        let state = self.state.lock().unwrap();
        state.authorizations.iter().all(|text| text.contains(&format!("Credential={access_key}/")))
            && state.authorizations.len() == state.calls.len()
    }
}

struct Request {
    call: Call,
    name: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut answers = stream.try_clone().unwrap();
    let mut requests = BufReader::new(stream);
    while let Some(request) = read(&mut requests) {
        let fault = {
            let mut state = state.lock().unwrap();
            match &mut state.alive {
                Some(0) => return,
                Some(more) => *more -= 1,
                None => {}
            }
            state.calls.push((request.call, request.name.clone()));
            state.authorizations.extend(request.headers.get("authorization").cloned());
            let rule = state.rules.iter_mut().find(|(call, _, times)| *call == request.call && *times > 0);
            rule.map(|rule| {
                rule.2 -= 1;
                rule.1
            })
        };
        let (status, headers, body) = match fault {
            Some(Fault::Refuse(status, code)) => refusal(status, code),
            Some(Fault::InRegion(status, code, region)) => {
                let (_, headers, body) = refusal(status, code);
                (status, format!("{headers}x-amz-bucket-region: {region}\r\n"), body)
            }
            Some(Fault::Silence(time)) => {
                std::thread::sleep(time);
                return;
            }
            Some(Fault::NoConditions) if request.headers.contains_key("if-none-match") => {
                refusal(501, "NotImplemented")
            }
            _ => state.lock().unwrap().answer(&request),
        };
        let body = if request.call == Call::Head { Vec::new() } else { body };
        let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        let sent = match fault {
            Some(Fault::HalfWay) => {
                let _ = answers.write_all(head.as_bytes()).and_then(|()| answers.write_all(&body[..body.len() / 2]));
                let _ = answers.shutdown(std::net::Shutdown::Both);
                return;
            }
            Some(Fault::Dribble) => answers.write_all(head.as_bytes()).and_then(|()| {
                body.iter().try_for_each(|byte| {
                    std::thread::sleep(Duration::from_millis(100));
                    answers.write_all(&[*byte])
                })
            }),
            _ => answers.write_all(head.as_bytes()).and_then(|()| answers.write_all(&body)),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn refusal(status: u16, code: &str) -> (u16, String, Vec<u8>) {
    let body = format!("<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>");
    (status, "Content-Type: application/xml\r\n".to_owned(), body.into_bytes())
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let http_server::Request { method, target, headers, body } = http_server::request(reader)?;
    let call = match method.as_str() {
        "HEAD" => Call::Head,
        "GET" => Call::Get,
        "PUT" => Call::Put,
        other => panic!("no call of the shared store: {other}"),
    };
    let name = target.trim_start_matches('/').split('?').next()?.to_owned();
    Some(Request { call, name, headers, body })
}

impl State {
    fn answer(&mut self, request: &Request) -> (u16, String, Vec<u8>) {
        let Request { call, name, headers, body } = request;
        match call {
            Call::Head | Call::Get => match self.objects.get(name) {
                Some(object) => {
                    let sha256 = object.sha256.iter().map(|text| format!("x-amz-meta-sha256: {text}\r\n"));
                    (200, sha256.collect(), object.bytes.clone())
                }
                None => refusal(404, "NoSuchKey"),
            },
            Call::Put if headers.contains_key("if-none-match") && self.objects.contains_key(name) => {
                refusal(412, "PreconditionFailed")
            }
            Call::Put => {
                let sha256 = headers.get("x-amz-meta-sha256").cloned();
                self.objects.insert(name.clone(), Object { bytes: body.clone(), sha256 });
                (200, String::new(), Vec::new())
            }
        }
    }
}
