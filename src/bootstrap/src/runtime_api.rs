//! Lambda's Runtime API, version 2018-06-01: the next event, its response or error, and the error of the start.

use std::fmt;
use std::io;

use crate::answer::{FunctionError, InitError};
use crate::connection::{Connection, Reply};
use crate::invocation::{Context, Invocation};

pub struct RuntimeApi {
    host: String,
    connection: Connection,
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
    pub fn new(host: String) -> Self {
        RuntimeApi { connection: Connection::new(host.clone()), host }
    }

    /// Waits for the next event, without a limit: the sandbox is frozen in between.
    pub fn next(&mut self) -> Result<Invocation, ApiError> {
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
        Ok(Invocation {
            id,
            invocation_id: text("Lambda-Runtime-Invocation-Id"),
            cut_off: context.cut_off(),
            context,
            event: reply.body,
        })
    }

    pub fn respond(&mut self, invocation: &Invocation, body: &[u8]) -> Result<(), ApiError> {
        let path = format!("/2018-06-01/runtime/invocation/{}/response", invocation.id);
        self.post("/response", &path, &echo(invocation, &[]), body)
    }

    pub fn fail(&mut self, invocation: &Invocation, error: &FunctionError) -> Result<(), ApiError> {
        let path = format!("/2018-06-01/runtime/invocation/{}/error", invocation.id);
        let headers = echo(invocation, &[(ERROR_TYPE, error.reason.name())]);
        self.post("/error", &path, &headers, error.to_json().as_bytes())
    }

    pub fn init_error(&mut self, error: &InitError) -> Result<(), ApiError> {
        let headers = [(ERROR_TYPE, error.reason()), JSON];
        self.post("/init/error", "/2018-06-01/runtime/init/error", &headers, error.to_json().as_bytes())
    }

    /// 400, 403 and 413 concern this one answer (it came too late, twice, too large): they are logged, and life goes on.
    fn post(&mut self, call: &'static str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<(), ApiError> {
        let reply = self.call("POST", path, headers, body)?;
        match reply.status {
            200..=299 => Ok(()),
            500.. => Err(refused(call, &reply)),
            _ => {
                eprintln!("{}", refused(call, &reply));
                Ok(())
            }
        }
    }

    fn call(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply, ApiError> {
        self.connection
            .request(method, path, headers, body)
            .map_err(|cause| ApiError::Unreachable { host: self.host.clone(), cause })
    }
}

const ERROR_TYPE: &str = "Lambda-Runtime-Function-Error-Type";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn echo<'a>(invocation: &'a Invocation, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let id = invocation.invocation_id.as_deref().map(|id| ("Lambda-Runtime-Invocation-Id", id));
    [JSON].into_iter().chain(id).chain(more.iter().copied()).collect()
}

fn refused(call: &'static str, reply: &Reply) -> ApiError {
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
