//! Lambda's Runtime API: the HTTP server that a runtime asks for events and posts their outcomes to.
//!
//! One server for one start of the runtime, so that nothing said to an earlier one can reach a later one. Statuses,
//! bodies and headers are those of the official emulator (`/2018-06-01`).

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::http::{Body, Connection, Headers, Request, Response};
use super::{Exit, Outcome, PAYLOAD_LIMIT};

/// What the runtime did, in order.
#[derive(Debug)]
pub enum Event {
    /// It asks for its next event: its init, or the event before, is done.
    Ready,
    /// It, or the limits, decided the event's outcome.
    Answered(Outcome),
    /// It reports that it could not start.
    InitFailed {
        error_type: String,
        body: Vec<u8>,
    },
    Ended(Exit),
}

/// An event as `/next` hands it out.
#[derive(Debug)]
pub struct Task {
    pub request_id: String,
    /// Deadline, ARN, trace id and the like.
    pub headers: Headers,
    pub event: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// The runtime has asked for nothing yet.
    Initialising,
    InitFailed,
    Waiting,
    /// It has this task, or gets it as soon as it asks.
    Busy(Arc<Task>),
    /// It has answered this one and asked for no other yet.
    Answered {
        request_id: String,
    },
    Closed,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    events: Sender<Event>,
    metadata_token: String,
}

/// Listens until dropped.
pub struct RuntimeApi {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl RuntimeApi {
    pub fn start(metadata_token: &str, events: Sender<Event>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::Initialising),
            changed: Condvar::new(),
            events,
            metadata_token: metadata_token.to_owned(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if matches!(*serving.state(), State::Closed) {
                    return;
                }
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(Self { address, shared })
    }

    /// Gives the runtime an event. It must be waiting for one: [`Event::Ready`] says so.
    pub fn deliver(&self, task: Task) {
        let mut state = self.shared.state();
        debug_assert!(matches!(*state, State::Waiting), "an instance takes one event at a time");
        *state = State::Busy(Arc::new(task));
        self.shared.changed.notify_all();
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        *self.shared.state() = State::Closed;
        self.shared.changed.notify_all();
        // The listener sits in accept: one last connection lets it see the state.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is a single assignment: a panicked thread leaves no half-made state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) {
        let Ok(mut connection) = Connection::new(stream, PAYLOAD_LIMIT) else { return };
        loop {
            let request = match connection.read() {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(error) => {
                    if let Some(status) = error.status() {
                        let refused = refusal(status, "InvalidRequest", &error.to_string());
                        let _ = connection.answer_and_close(&refused);
                    }
                    return;
                }
            };
            let Some(response) = self.answer(&request) else { return };
            if !connection.answer(&request, &response).unwrap_or(false) {
                return;
            }
        }
    }

    /// None when the server has closed while the runtime waited.
    fn answer(&self, request: &Request) -> Option<Response> {
        let not_allowed = || Some(refusal(405, "MethodNotAllowed", &format!("{} is not for this", request.method)));
        let path: Vec<&str> = request.path().trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["2018-06-01", "runtime", "invocation", "next"]) => self.next(),
            ("POST", ["2018-06-01", "runtime", "invocation", id, "response"]) => Some(self.response(id, request)),
            ("POST", ["2018-06-01", "runtime", "invocation", id, "error"]) => Some(self.error(id, request)),
            ("POST", ["2018-06-01", "runtime", "init", "error"]) => Some(self.init_error(request)),
            ("GET", ["2018-06-01", "ping"]) => {
                Some(Response { status: 200, headers: Headers::default(), body: b"pong".to_vec() })
            }
            ("GET", ["2026-01-15", "metadata", "execution-environment"]) => Some(self.metadata(request)),
            (_, ["2018-06-01", "runtime", "invocation", "next"])
            | (_, ["2018-06-01", "runtime", "invocation", _, "response" | "error"])
            | (_, ["2018-06-01", "runtime", "init", "error"]) => not_allowed(),
            _ => Some(refusal(404, "NotFound", &format!("there is no {}", request.path()))),
        }
    }

    fn next(&self) -> Option<Response> {
        let mut state = self.state();
        match *state {
            State::Initialising | State::Answered { .. } => {
                *state = State::Waiting;
                let _ = self.events.send(Event::Ready);
            }
            State::InitFailed => return Some(wrong_state()),
            State::Waiting | State::Busy(_) | State::Closed => {}
        }
        loop {
            match &*state {
                State::Busy(task) => {
                    let task = Arc::clone(task);
                    drop(state);
                    return Some(Response { status: 200, headers: task.headers.clone(), body: task.event.clone() });
                }
                State::Closed => return None,
                _ => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn response(&self, id: &str, request: &Request) -> Response {
        self.conclude(id, || {
            let size = match &request.body {
                Body::Whole(body) => body.len() as u64,
                Body::TooLarge { size } => *size,
            };
            let mode = request.headers.get("lambda-runtime-function-response-mode");
            match (&request.body, mode) {
                (_, Some(mode)) if mode != "streaming" => (
                    Outcome::InvalidResponseMode { mode: mode.to_owned() },
                    refusal(400, "InvalidFunctionResponseMode", &format!("`{mode}` is not `streaming`")),
                ),
                (Body::TooLarge { .. }, _) => (Outcome::ResponseTooLarge { size }, too_large(size)),
                (Body::Whole(body), _) => match streamed_error(&request.trailers) {
                    Some(error) => (error, accepted()),
                    None => (Outcome::Response(body.clone()), accepted()),
                },
            }
        })
    }

    fn error(&self, id: &str, request: &Request) -> Response {
        self.conclude(id, || match &request.body {
            Body::Whole(body) => {
                (Outcome::Reported { error_type: error_type(&request.headers), body: body.clone() }, accepted())
            }
            Body::TooLarge { size } => (Outcome::ResponseTooLarge { size: *size }, too_large(*size)),
        })
    }

    /// Ends the event `id`, if that is the one at work.
    fn conclude(&self, id: &str, outcome: impl FnOnce() -> (Outcome, Response)) -> Response {
        let mut state = self.state();
        match &*state {
            State::Busy(task) if task.request_id == id => {
                let (outcome, response) = outcome();
                *state = State::Answered { request_id: id.to_owned() };
                let _ = self.events.send(Event::Answered(outcome));
                response
            }
            State::Answered { request_id } if request_id == id => wrong_state(),
            _ => refusal(400, "InvalidRequestID", "Invalid request ID"),
        }
    }

    fn init_error(&self, request: &Request) -> Response {
        let mut state = self.state();
        if !matches!(*state, State::Initialising) {
            return wrong_state();
        }
        *state = State::InitFailed;
        let body = match &request.body {
            Body::Whole(body) => body.clone(),
            Body::TooLarge { .. } => Vec::new(),
        };
        let _ = self.events.send(Event::InitFailed { error_type: error_type(&request.headers), body });
        accepted()
    }

    fn metadata(&self, request: &Request) -> Response {
        let token = request.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if token != Some(&self.metadata_token) {
            return refusal(401, "Unauthorized", "AWS_LAMBDA_METADATA_TOKEN is expected as a bearer token");
        }
        let mut response = Response::json(200, json!({ "AvailabilityZoneID": "use1-az1" }).to_string());
        response.headers.0.push(("Cache-Control".into(), "private, max-age=43200, immutable".into()));
        response
    }
}

fn accepted() -> Response {
    Response::json(202, r#"{"status":"OK"}"#)
}

fn refusal(status: u16, error_type: &str, message: &str) -> Response {
    Response::json(status, json!({ "errorMessage": message, "errorType": error_type }).to_string())
}

fn wrong_state() -> Response {
    refusal(403, "InvalidStateTransition", "State transition is not allowed")
}

fn too_large(size: u64) -> Response {
    refusal(413, "RequestEntityTooLarge", &format!("Exceeded maximum allowed payload size ({size} bytes)."))
}

/// The category that the runtime names, if Lambda knows that form; else the nearest it has.
fn error_type(headers: &Headers) -> String {
    category(headers.get("lambda-runtime-function-error-type").unwrap_or_default())
}

fn category(given: &str) -> String {
    let known = ["Runtime.", "Function."].iter().any(|prefix| {
        given.match_indices(prefix).any(|(at, _)| {
            let mut reason = given[at + prefix.len()..].chars();
            reason.next().is_some_and(|first| first.is_ascii_uppercase())
                && reason.next().is_some_and(|second| second.is_ascii_alphabetic())
        })
    });
    match (known, given.starts_with("Function.")) {
        (true, _) => given.to_owned(),
        (false, true) => "Function.Unknown".into(),
        (false, false) => "Runtime.Unknown".into(),
    }
}

/// A stream that failed half-way says so in its trailers, the error's JSON in base64.
fn streamed_error(trailers: &Headers) -> Option<Outcome> {
    let error_type = category(trailers.get("lambda-runtime-function-error-type")?);
    let body = trailers.get("lambda-runtime-function-error-body").unwrap_or_default();
    Some(Outcome::Reported { error_type, body: BASE64_STANDARD.decode(body).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn start() -> (RuntimeApi, Receiver<Event>) {
        let (sender, events) = channel();
        (RuntimeApi::start("token", sender).unwrap(), events)
    }

    fn task(id: &str) -> Task {
        let headers = Headers(vec![("Lambda-Runtime-Aws-Request-Id".into(), id.into())]);
        Task { request_id: id.into(), headers, event: b"{}".to_vec() }
    }

    /// Sends one request and returns what comes back as text.
    fn call(api: &RuntimeApi, method: &str, path: &str, rest: &str) -> String {
        let mut stream = TcpStream::connect(api.address).unwrap();
        write!(stream, "{method} /2018-06-01/{path} HTTP/1.1\r\nConnection: close\r\n{rest}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    const OK: &str = "Content-Length: 2\r\n\r\nok";

    #[test]
    fn an_event_is_answered_once_and_only_by_its_id() {
        let (api, events) = start();
        assert!(call(&api, "POST", "runtime/invocation/a/response", OK).contains("InvalidRequestID"));
        let next = thread::scope(|scope| {
            let next = scope.spawn(|| call(&api, "GET", "runtime/invocation/next", "\r\n"));
            assert!(matches!(events.recv().unwrap(), Event::Ready));
            api.deliver(task("a"));
            next.join().unwrap()
        });
        assert!(next.contains("Lambda-Runtime-Aws-Request-Id: a\r\n") && next.ends_with("\r\n\r\n{}"), "{next}");
        let again = call(&api, "GET", "runtime/invocation/next", "\r\n");
        assert_eq!(again, next, "unanswered, it is handed out again");
        let wrong = call(&api, "POST", "runtime/invocation/b/response", OK);
        assert!(wrong.starts_with("HTTP/1.1 400 ") && wrong.contains("InvalidRequestID"), "{wrong}");
        let right = call(&api, "POST", "runtime/invocation/a/response", OK);
        assert!(right.starts_with("HTTP/1.1 202 ") && right.ends_with(r#"{"status":"OK"}"#), "{right}");
        let second = call(&api, "POST", "runtime/invocation/a/error", OK);
        assert!(second.starts_with("HTTP/1.1 403 ") && second.contains("InvalidStateTransition"), "{second}");
        assert!(matches!(events.recv().unwrap(), Event::Answered(Outcome::Response(body)) if body == b"ok"));
        assert!(call(&api, "POST", "runtime/init/error", OK).starts_with("HTTP/1.1 403 "));
    }

    #[test]
    fn a_stream_that_fails_is_an_error_and_a_wrong_mode_too() {
        let (api, events) = start();
        let outcome = |head: &str| {
            thread::scope(|scope| {
                let next = scope.spawn(|| call(&api, "GET", "runtime/invocation/next", "\r\n"));
                assert!(matches!(events.recv().unwrap(), Event::Ready));
                api.deliver(task("a"));
                next.join().unwrap();
            });
            let answer = call(&api, "POST", "runtime/invocation/a/response", head);
            match events.recv().unwrap() {
                Event::Answered(outcome) => (outcome, answer),
                other => panic!("{other:?}"),
            }
        };
        let (failed, _) = outcome(concat!(
            "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n",
            "2\r\nab\r\n0\r\nLambda-Runtime-Function-Error-Type: Function.Broken\r\n",
            "Lambda-Runtime-Function-Error-Body: e30=\r\n\r\n"
        ));
        assert_eq!(failed, Outcome::Reported { error_type: "Function.Broken".into(), body: b"{}".to_vec() });
        let (wrong, answer) = outcome("Lambda-Runtime-Function-Response-Mode: Streaming\r\n\r\n");
        assert!(matches!(wrong, Outcome::InvalidResponseMode { .. }));
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("InvalidFunctionResponseMode"), "{answer}");
    }

    #[test]
    fn the_metadata_want_their_token_and_nothing_else_is_there() {
        let (api, _events) = start();
        let metadata = |token: &str| {
            let head = format!("Authorization: Bearer {token}\r\n\r\n");
            call(&api, "GET", "../2026-01-15/metadata/execution-environment", &head)
        };
        assert!(metadata("token").starts_with("HTTP/1.1 404 "), "paths are not resolved");
        assert!(call(&api, "GET", "nothing", "\r\n").starts_with("HTTP/1.1 404 "));
        assert!(call(&api, "POST", "runtime/invocation/next", "\r\n").starts_with("HTTP/1.1 405 "));
        assert!(call(&api, "GET", "ping", "\r\n").ends_with("pong"));
    }

    #[test]
    fn error_categories_are_lambdas() {
        for (given, kept) in [
            ("Function.MyError", "Function.MyError"),
            ("x.Runtime.Ab", "x.Runtime.Ab"),
            ("Function.x", "Function.Unknown"),
            ("Runtime.A", "Runtime.Unknown"),
            ("", "Runtime.Unknown"),
        ] {
            assert_eq!(category(given), kept);
        }
    }
}
