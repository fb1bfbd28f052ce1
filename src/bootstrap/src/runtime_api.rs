//! Lambda's Runtime API, version 2018-06-01: the next event, its one reply, and the errors of the start.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::answer::{FunctionError, InitError};
use crate::connection::{self, Connection, Upload};
use crate::invocation::{Context, Invocation};
use crate::log::{Level, Log};

pub struct RuntimeApi {
    host: String,
    connection: Connection,
    log: Log,
}

/// The Runtime API cannot be used any more: the runtime has to end.
#[derive(Debug)]
pub enum ApiError {
    Unreachable {
        host: String,
        cause: io::Error,
    },
    /// A status that leaves nothing to do: 500 means "exit", and `/next` has no other than 200.
    Refused {
        call: &'static str,
        status: u16,
        body: String,
    },
}

impl RuntimeApi {
    /// `host`: `AWS_LAMBDA_RUNTIME_API`, as `host:port`.
    pub fn new(host: &str, log: &Log) -> Self {
        RuntimeApi { connection: Connection::new(host.to_owned()), host: host.to_owned(), log: log.clone() }
    }

    /// Waits for the next event, without a limit: the sandbox is frozen in between. `margin` is the time to keep back
    /// from it.
    pub fn next(&mut self, margin: Option<Duration>) -> Result<Invocation, ApiError> {
        let reply = self.call("GET", "/2018-06-01/runtime/invocation/next", &[], b"")?;
        if reply.status != 200 {
            return Err(refused("/next", &reply));
        }
        let text = |name: &str| reply.header(name).map(str::to_owned);
        let Some(id) = text("Lambda-Runtime-Aws-Request-Id") else { return Err(refused("/next", &reply)) };
        let context = Context {
            aws_request_id: id.clone(),
            deadline_ms: text("Lambda-Runtime-Deadline-Ms").and_then(|ms| ms.trim().parse().ok()).unwrap_or(0),
            invoked_function_arn: text("Lambda-Runtime-Invoked-Function-Arn").unwrap_or_default(),
            trace_id: text("Lambda-Runtime-Trace-Id").unwrap_or_default(),
            client_context: text("Lambda-Runtime-Client-Context"),
            cognito_identity: text("Lambda-Runtime-Cognito-Identity"),
            tenant_id: text("Lambda-Runtime-Aws-Tenant-Id"),
        };
        self.log.begin(&id);
        Ok(Invocation {
            id,
            invocation_id: text("Lambda-Runtime-Invocation-Id"),
            patience: context.patience(margin),
            context,
            event: reply.body,
        })
    }

    /// Ends an invocation, whose memory is used for the next.
    pub fn done(&mut self, invocation: Invocation) {
        self.connection.recycle(invocation.event);
    }

    /// The one reply that an invocation gets.
    pub fn reply<'a>(&'a mut self, invocation: &'a Invocation) -> Reply<'a> {
        Reply { api: self, invocation }
    }

    pub fn init_error(&mut self, error: &InitError) -> Result<(), ApiError> {
        let headers = [(ERROR_TYPE, error.reason()), JSON];
        self.post("/init/error", "/2018-06-01/runtime/init/error", &headers, error.to_json().as_bytes())
    }

    /// Says that the start is done, and returns in a copy of this process: Lambda takes its snapshot while this waits.
    pub fn wait_for_restore(&mut self) -> Result<(), ApiError> {
        let reply = self.call("GET", "/2018-06-01/runtime/restore/next", &[], b"")?;
        // The connection was made by the original, long ago.
        self.connection = Connection::new(self.host.clone());
        if reply.status == 200 { Ok(()) } else { Err(refused("/restore/next", &reply)) }
    }

    pub fn restore_error(&mut self, error: &InitError) -> Result<(), ApiError> {
        let headers = [(ERROR_TYPE, "Runtime.AfterRestoreError"), JSON];
        self.post("/restore/error", "/2018-06-01/runtime/restore/error", &headers, error.to_json().as_bytes())
    }

    /// 400, 403 and 413 concern this one answer (it came too late, twice, too large): they are logged, and life goes on.
    fn post(&mut self, call: &'static str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<(), ApiError> {
        let reply = self.call("POST", path, headers, body)?;
        self.judge(call, &reply)
    }

    fn judge(&self, call: &'static str, reply: &connection::Reply) -> Result<(), ApiError> {
        match reply.status {
            200..=299 => Ok(()),
            500.. => Err(refused(call, reply)),
            _ => {
                self.log.say(Level::Error, &refused(call, reply).to_string());
                Ok(())
            }
        }
    }

    fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<connection::Reply, ApiError> {
        self.connection.request(method, path, headers, body).map_err(|cause| self.unreachable(cause))
    }

    fn unreachable(&self, cause: io::Error) -> ApiError {
        ApiError::Unreachable { host: self.host.clone(), cause }
    }
}

/// The right to answer an invocation, once: whole or as a stream.
pub struct Reply<'a> {
    api: &'a mut RuntimeApi,
    invocation: &'a Invocation,
}

impl<'a> Reply<'a> {
    /// The whole response, or why there is none.
    pub fn whole(self, outcome: Result<Vec<u8>, FunctionError>) -> Result<(), ApiError> {
        let id = &self.invocation.id;
        match outcome {
            Ok(body) => {
                let path = format!("/2018-06-01/runtime/invocation/{id}/response");
                self.api.post("/response", &path, &echo(self.invocation, &[JSON]), &body)
            }
            Err(error) => {
                self.api.log.fail(&error);
                let path = format!("/2018-06-01/runtime/invocation/{id}/error");
                let headers = echo(self.invocation, &[JSON, (ERROR_TYPE, error.reason.name())]);
                self.api.post("/error", &path, &headers, error.to_json().as_bytes())
            }
        }
    }

    /// A response for an HTTP front, piece by piece, of which `start` is the first.
    pub fn stream(self, start: &[u8]) -> Stream<'a> {
        let mut stream = Stream { state: StreamState::Broken, api: self.api };
        match open(&stream.api.host, self.invocation) {
            Ok(upload) => stream.state = StreamState::Open(upload),
            Err(error) => stream.api.log.say(Level::Error, &format!("the response stream cannot be opened: {error}")),
        }
        stream.write(start);
        stream
    }
}

/// A response that is being sent.
pub struct Stream<'a> {
    api: &'a mut RuntimeApi,
    state: StreamState,
}

enum StreamState {
    Open(Upload),
    /// Nobody reads it any more: the rest is dropped. Whether the API is alive, the next call tells.
    Broken,
}

impl Stream<'_> {
    pub fn write(&mut self, bytes: &[u8]) {
        if let StreamState::Open(upload) = &mut self.state
            && !bytes.is_empty()
            && let Err(error) = upload.write(bytes)
        {
            // A refusal may stand in what the other side has sent before it closed.
            let closed = error.kind() != io::ErrorKind::TimedOut;
            match closed.then(|| upload.refusal()).flatten() {
                Some(reply) => drop(self.api.judge("/response", &reply)),
                None => self.api.log.say(Level::Error, &format!("the response stream broke: {error}")),
            }
            self.state = StreamState::Broken;
        }
    }

    /// Ends the response as complete.
    pub fn finish(self) -> Result<(), ApiError> {
        self.end(&[])
    }

    /// Ends the response as failed: in the trailers, since its head is gone already.
    pub fn fail(self, error: &FunctionError) -> Result<(), ApiError> {
        self.api.log.fail(error);
        let body = base64_simd::STANDARD.encode_to_string(error.to_json());
        self.end(&[(ERROR_TYPE, error.reason.name()), (ERROR_BODY, &body)])
    }

    fn end(self, trailers: &[(&str, &str)]) -> Result<(), ApiError> {
        let StreamState::Open(upload) = self.state else { return Ok(()) };
        match upload.finish(trailers) {
            Ok(reply) => self.api.judge("/response", &reply),
            Err(cause) => Err(self.api.unreachable(cause)),
        }
    }
}

/// On a connection of its own: on a kept one, a stream that breaks would take the next call with it.
fn open(host: &str, invocation: &Invocation) -> io::Result<Upload> {
    let path = format!("/2018-06-01/runtime/invocation/{}/response", invocation.id);
    let trailers = format!("{ERROR_TYPE}, {ERROR_BODY}");
    let headers = echo(
        invocation,
        &[
            ("Content-Type", "application/vnd.awslambda.http-integration-response"),
            ("Lambda-Runtime-Function-Response-Mode", "streaming"),
            ("Trailer", &trailers),
        ],
    );
    Upload::open(host, &path, &headers, invocation.patience.kill)
}

const ERROR_TYPE: &str = "Lambda-Runtime-Function-Error-Type";
const ERROR_BODY: &str = "Lambda-Runtime-Function-Error-Body";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn echo<'a>(invocation: &'a Invocation, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let id = invocation.invocation_id.as_deref().map(|id| ("Lambda-Runtime-Invocation-Id", id));
    id.into_iter().chain(more.iter().copied()).collect()
}

fn refused(call: &'static str, reply: &connection::Reply) -> ApiError {
    ApiError::Refused { call, status: reply.status, body: String::from_utf8_lossy(&reply.body).into_owned() }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiError::Unreachable { host, cause } => write!(f, "the Runtime API at {host} cannot be reached: {cause}"),
            ApiError::Refused { call, status, body } => {
                write!(f, "the Runtime API answered {call} with {status}: {body}")
            }
        }
    }
}
