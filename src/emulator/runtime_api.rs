//! Lambda's Runtime API: the HTTP server that a runtime asks for events and posts their outcomes to.
//!
//! One server for one start of the runtime, so that nothing said to an earlier one can reach a later one. Statuses,
//! bodies and headers are those of the official emulator (`/2018-06-01`).

mod extensions;
mod init;
mod said;
mod stream;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::json;

use super::http::{Body, Connection, Headers, ReadError, Request, Response};
use super::{Exit, Function, Initialization, Outcome, PAYLOAD_LIMIT};
use extensions::Extensions;
use said::{accepted, error_type, refusal, streamed_error, too_large, wrong_state};

/// What the runtime did, in order.
#[derive(Debug)]
pub enum Event {
    /// It is initialised and waits for its snapshot: `/restore/next`.
    Snapshot,
    /// It asks for its next event: its init, or the event before, is done.
    Ready,
    /// It begins to stream the response.
    Began {
        content_type: String,
    },
    /// A piece of that.
    Piece(Vec<u8>),
    /// It, or the limits, decided the event's outcome.
    Answered(Outcome),
    /// It reports that it could not start, or not come back from its snapshot.
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
    pub wish: Wish,
}

/// How the caller wants a response that is streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Collected, and within the limit of any other.
    Whole,
    /// Piece by piece.
    Pieces,
}

#[derive(Debug)]
enum State {
    /// The runtime has asked for nothing yet.
    Initialising,
    InitFailed,
    /// It waits for its snapshot to be restored.
    Snapshot,
    /// It has been, and asks for its first event soon.
    Restored,
    /// It has asked for an event, while an extension is not ready for one.
    Asked,
    Waiting,
    /// It gets this task now.
    Delivered(Arc<Task>),
    /// It has this one.
    Busy(Arc<Task>),
    /// It is posting the response to this one, piece by piece.
    Streaming {
        request_id: String,
    },
    /// It has answered this one and asked for no other yet.
    Answered {
        request_id: String,
    },
    Closed,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    extensions: Mutex<Extensions>,
    events: Sender<Event>,
    metadata_token: String,
    initialization: Initialization,
    /// `AWS_LAMBDA_MAX_CONCURRENCY` is given.
    several_loops: bool,
}

/// Listens until dropped.
pub struct RuntimeApi {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl RuntimeApi {
    pub fn start(function: &Function, metadata_token: &str, events: Sender<Event>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::Initialising),
            changed: Condvar::new(),
            extensions: Mutex::new(Extensions::of(function)),
            events,
            metadata_token: metadata_token.to_owned(),
            initialization: function.initialization,
            several_loops: function.env.contains_key("AWS_LAMBDA_MAX_CONCURRENCY"),
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
        *state = State::Delivered(Arc::new(task));
        self.shared.changed.notify_all();
    }

    /// Lets a runtime go on that waits for its snapshot to be restored.
    pub fn restore(&self) {
        let mut state = self.shared.state();
        if matches!(*state, State::Snapshot) {
            *state = State::Restored;
            self.shared.changed.notify_all();
        }
    }

    /// Whether an extension is registered, so that the runtime's end is announced to it.
    pub fn has_extensions(&self) -> bool {
        self.shared.extensions().any()
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

    /// Taken after the state where both are needed.
    fn extensions(&self) -> MutexGuard<'_, Extensions> {
        self.extensions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) {
        let Ok(mut connection) = Connection::new(stream, PAYLOAD_LIMIT) else { return };
        loop {
            let mut request = match connection.read_head() {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(error) => return refuse(&mut connection, &error),
            };
            if let Some(mut stream) = self.stream(&request) {
                let read = connection.read_body(&mut request, &mut stream);
                match stream.end(read, &request.trailers) {
                    Some(response) if response.head.status == 202 => {
                        if !connection.answer(&request, &response).unwrap_or(false) {
                            return;
                        }
                    }
                    // What it still sends is not read.
                    Some(response) => return drop(connection.answer_and_close(&response)),
                    None => return,
                }
                continue;
            }
            if let Err(error) = connection.collect_body(&mut request) {
                self.truncated(&request);
                return refuse(&mut connection, &error);
            }
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
            ("GET", ["2018-06-01", "runtime", "restore", "next"]) => self.restore_next(),
            ("POST", ["2018-06-01", "runtime", "restore", "error"]) => Some(self.restore_error(request)),
            ("POST", ["2020-01-01", "extension", "register"]) => Some(self.register(request)),
            ("GET", ["2020-01-01", "extension", "event", "next"]) => self.extension_next(request),
            ("GET", ["2018-06-01", "ping"]) => Some(Response::new(200, "text/plain", "pong")),
            ("GET", ["2026-01-15", "metadata", "execution-environment"]) => Some(self.metadata(request)),
            (_, ["2018-06-01", "runtime", "invocation" | "restore", "next"])
            | (_, ["2018-06-01", "runtime", "invocation", _, "response" | "error"])
            | (_, ["2018-06-01", "runtime", "init" | "restore", "error"])
            | (_, ["2020-01-01", "extension", "register"])
            | (_, ["2020-01-01", "extension", "event", "next"]) => not_allowed(),
            _ => Some(refusal(404, "NotFound", &format!("there is no {}", request.path()))),
        }
    }

    fn next(&self) -> Option<Response> {
        let mut state = self.state();
        loop {
            match &*state {
                State::Initialising | State::Restored | State::Answered { .. } => {
                    *state = State::Asked;
                    self.go_on(&mut state);
                }
                State::InitFailed | State::Snapshot => return Some(wrong_state()),
                // A runtime of several loops asks with all of them, and this event is one's already.
                State::Busy(_) if self.several_loops => state = self.wait(state),
                State::Delivered(task) | State::Busy(task) => {
                    let task = Arc::clone(task);
                    *state = State::Busy(Arc::clone(&task));
                    drop(state);
                    let mut response = Response::new(200, "application/json", task.event.clone());
                    response.head.headers = task.headers.clone();
                    return Some(response);
                }
                State::Closed => return None,
                State::Asked | State::Waiting | State::Streaming { .. } => state = self.wait(state),
            }
        }
    }

    /// The runtime is ready for an event when it and every extension has asked for one.
    fn go_on(&self, state: &mut State) {
        if matches!(state, State::Asked) && self.extensions().all_ready() {
            *state = State::Waiting;
            let _ = self.events.send(Event::Ready);
        }
    }

    fn response(&self, id: &str, request: &Request) -> Response {
        self.conclude(id, || {
            let mode = request.headers.get("lambda-runtime-function-response-mode");
            match (&request.body, mode) {
                (_, Some(mode)) if mode != "streaming" => (
                    Outcome::InvalidResponseMode { mode: mode.to_owned() },
                    refusal(400, "InvalidFunctionResponseMode", &format!("`{mode}` is not `streaming`")),
                ),
                (Body::TooLarge { size }, _) => {
                    (Outcome::ResponseTooLarge { size: *size, limit: PAYLOAD_LIMIT }, too_large(*size))
                }
                (Body::Whole(body), None) => (Outcome::Response(body.clone()), accepted()),
                (Body::Whole(body), Some(_)) => match streamed_error(&request.trailers) {
                    Some(error) => (error, accepted()),
                    None => {
                        let content_type = stream::content_type(request);
                        (Outcome::Collected { content_type, body: body.clone() }, accepted())
                    }
                },
            }
        })
    }

    fn error(&self, id: &str, request: &Request) -> Response {
        self.conclude(id, || match &request.body {
            Body::Whole(body) => {
                (Outcome::Reported { error_type: error_type(&request.headers), body: body.clone() }, accepted())
            }
            Body::TooLarge { size } => {
                (Outcome::ResponseTooLarge { size: *size, limit: PAYLOAD_LIMIT }, too_large(*size))
            }
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
            State::Answered { request_id } | State::Streaming { request_id } if request_id == id => wrong_state(),
            _ => refusal(400, "InvalidRequestID", "Invalid request ID"),
        }
    }

    fn metadata(&self, request: &Request) -> Response {
        let token = request.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if token != Some(&self.metadata_token) {
            return refusal(401, "Unauthorized", "AWS_LAMBDA_METADATA_TOKEN is expected as a bearer token");
        }
        let mut response = Response::json(200, json!({ "AvailabilityZoneID": "use1-az1" }).to_string());
        response.head.headers.0.push(("Cache-Control".into(), "private, max-age=43200, immutable".into()));
        response
    }
}

/// Says why no request came of what was sent, where anybody listens.
fn refuse(connection: &mut Connection, error: &ReadError) {
    if let Some(status) = error.status() {
        let _ = connection.answer_and_close(&refusal(status, "InvalidRequest", &error.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn start() -> (RuntimeApi, Receiver<Event>) {
        start_as(Initialization::OnDemand)
    }

    fn start_as(initialization: Initialization) -> (RuntimeApi, Receiver<Event>) {
        let (sender, events) = channel();
        let function = Function {
            layers: vec![],
            task: ".".into(),
            handler: "index.php".into(),
            timeout: std::time::Duration::from_secs(1),
            memory_mb: 128,
            name: "hello".into(),
            region: "eu-west-1".into(),
            initialization,
            env: std::collections::BTreeMap::new(),
        };
        (RuntimeApi::start(&function, "token", sender).unwrap(), events)
    }

    fn task(id: &str) -> Task {
        let headers = Headers(vec![("Lambda-Runtime-Aws-Request-Id".into(), id.into())]);
        Task { request_id: id.into(), headers, event: b"{}".to_vec(), wish: Wish::Whole }
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
    fn a_stream_is_handed_on_as_it_comes_and_nothing_else_may_be_said_meanwhile() {
        let (api, events) = start();
        thread::scope(|scope| {
            let next = scope.spawn(|| call(&api, "GET", "runtime/invocation/next", "\r\n"));
            assert!(matches!(events.recv().unwrap(), Event::Ready));
            api.deliver(Task { wish: Wish::Pieces, ..task("a") });
            next.join().unwrap();
        });
        let mut stream = TcpStream::connect(api.address).unwrap();
        write!(
            stream,
            "POST /2018-06-01/runtime/invocation/a/response HTTP/1.1\r\nConnection: close\r\nContent-Type: text/x\r\n\
             Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
        )
        .unwrap();
        assert!(matches!(events.recv().unwrap(), Event::Began { content_type } if content_type == "text/x"));
        assert!(matches!(events.recv().unwrap(), Event::Piece(piece) if piece == b"ab"));
        for path in ["runtime/invocation/a/response", "runtime/invocation/a/error"] {
            assert!(call(&api, "POST", path, OK).starts_with("HTTP/1.1 403 "), "{path}");
        }
        stream.write_all(b"1\r\nc\r\n0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        assert!(matches!(events.recv().unwrap(), Event::Piece(piece) if piece == b"c"));
        assert!(matches!(events.recv().unwrap(), Event::Answered(Outcome::Streamed { size: 3 })));
    }

    #[test]
    fn a_snapshot_is_waited_for_once() {
        let (api, events) = start_as(Initialization::SnapStart);
        assert!(call(&api, "POST", "runtime/restore/error", OK).starts_with("HTTP/1.1 403 "));
        thread::scope(|scope| {
            let restored = scope.spawn(|| call(&api, "GET", "runtime/restore/next", "\r\n"));
            assert!(matches!(events.recv().unwrap(), Event::Snapshot));
            assert!(call(&api, "GET", "runtime/invocation/next", "\r\n").starts_with("HTTP/1.1 403 "));
            api.restore();
            assert!(restored.join().unwrap().starts_with("HTTP/1.1 200 "));
        });
        assert!(call(&api, "GET", "runtime/restore/next", "\r\n").starts_with("HTTP/1.1 403 "));
        assert!(call(&api, "POST", "runtime/restore/error", OK).starts_with("HTTP/1.1 202 "));
        assert!(matches!(events.recv().unwrap(), Event::InitFailed { .. }));
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
}
