//! What came of an event: the outcome, as the caller and as the log see it, and what it cost.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::json;

/// One event's way through an instance.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// A UUID.
    pub request_id: String,
    pub outcome: Outcome,
    /// How long the init phase took, where this event is the first after one.
    pub init: Option<Duration>,
    /// How long the way back from the snapshot took, where this event is the first after one.
    pub restore: Option<Duration>,
    /// From the event to the runtime's next question, a repeated init included.
    pub duration: Duration,
    /// Init and duration, rounded up to milliseconds: Lambda bills both.
    pub billed_ms: u64,
    /// The most that the sandbox's processes used, in MiB, so far. None where `/proc` does not tell.
    pub max_memory_mb: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What the runtime posted, any bytes.
    Response(Vec<u8>),
    /// What it streamed, collected for a caller who waits for the whole.
    Collected { content_type: String, body: Vec<u8> },
    /// It streamed so many bytes, and the caller has got them as they came.
    Streamed { size: u64 },
    /// The runtime posted an error: its category (`Runtime.…`, `Function.…`) and its body as it is.
    Reported { error_type: String, body: Vec<u8> },
    /// The runtime's process ended.
    Exited(Exit),
    /// The function's timeout passed.
    TimedOut { limit: Duration },
    /// Its processes used more than the function's memory.
    OutOfMemory,
    /// The response was over Lambda's limit, in bytes.
    ResponseTooLarge { size: u64, limit: u64 },
    /// A streamed response broke off before its end.
    Truncated,
    /// The bootstrap could not be executed.
    InvalidEntrypoint { reason: String },
    /// The response's mode header was neither absent nor `streaming`.
    InvalidResponseMode { mode: String },
}

impl Outcome {
    /// Lambda's name for what went wrong; none when nothing did.
    pub fn error_type(&self) -> Option<&str> {
        Some(match self {
            Outcome::Response(_) | Outcome::Collected { .. } | Outcome::Streamed { .. } => return None,
            Outcome::Reported { error_type, .. } => error_type,
            Outcome::Exited(_) | Outcome::OutOfMemory => "Runtime.ExitError",
            Outcome::TimedOut { .. } => "Sandbox.Timeout",
            Outcome::ResponseTooLarge { .. } => "Function.ResponseSizeTooLarge",
            Outcome::Truncated => "Runtime.TruncatedResponse",
            Outcome::InvalidEntrypoint { .. } => "Runtime.InvalidEntrypoint",
            Outcome::InvalidResponseMode { .. } => "Runtime.InvalidResponseModeHeader",
        })
    }

    /// `X-Amz-Function-Error`, as the Invoke API reports it.
    pub fn function_error(&self) -> Option<&'static str> {
        self.error_type().map(|_| "Unhandled")
    }

    /// What Lambda says in words; none where the runtime spoke for itself.
    fn message(&self) -> Option<String> {
        match self {
            Outcome::Response(_) | Outcome::Collected { .. } | Outcome::Streamed { .. } | Outcome::Reported { .. } => {
                None
            }
            Outcome::Exited(exit) => Some(exit.message()),
            // The kernel's killer sends SIGKILL; Lambda tells no more than that.
            Outcome::OutOfMemory => Some(Exit::Signal(9).message()),
            Outcome::TimedOut { limit } => Some(format!("Task timed out after {:.2} seconds", limit.as_secs_f64())),
            Outcome::ResponseTooLarge { limit, .. } => {
                Some(format!("Response payload size exceeded maximum allowed payload size ({limit} bytes)."))
            }
            Outcome::Truncated => Some("The response broke off before its end".into()),
            Outcome::InvalidEntrypoint { reason } => Some(format!("Couldn't execute the bootstrap: {reason}")),
            Outcome::InvalidResponseMode { mode } => Some(format!("Invalid response mode `{mode}`")),
        }
    }

    /// Lines of the log, beside END and REPORT.
    pub(super) fn log_lines(&self, request_id: &str) -> Vec<String> {
        let Some(message) = self.message() else { return vec![] };
        match self {
            Outcome::TimedOut { .. } => {
                vec![format!("{} {request_id} {message}", super::clock::Clock::now().iso())]
            }
            _ => vec![
                format!("RequestId: {request_id} Error: {message}"),
                self.error_type().unwrap_or_default().to_owned(),
            ],
        }
    }
}

impl Invocation {
    /// What the caller of Lambda's Invoke gets: the response, or the error's JSON. Empty where it has been streamed.
    pub fn payload(&self) -> Vec<u8> {
        let error = match &self.outcome {
            Outcome::Response(body) | Outcome::Collected { body, .. } | Outcome::Reported { body, .. } => {
                return body.clone();
            }
            Outcome::Streamed { .. } => return Vec::new(),
            error => error,
        };
        let message = error.message().unwrap_or_default();
        let message = match error {
            Outcome::ResponseTooLarge { .. } => message,
            _ => format!("RequestId: {} Error: {message}", self.request_id),
        };
        json!({ "errorType": error.error_type(), "errorMessage": message }).to_string().into_bytes()
    }
}

/// How the runtime's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Status(i32),
    Signal(i32),
}

impl Exit {
    /// From bubblewrap's own end: like a shell it reports a child's signal as 128 and the signal. So a runtime that
    /// exits 137 by itself is taken for a killed one.
    pub(super) fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code @ 129..160), _) => Exit::Signal(code - 128),
            (Some(code), _) => Exit::Status(code),
            (None, signal) => Exit::Signal(signal.unwrap_or(9)),
        }
    }

    fn message(self) -> String {
        match self {
            Exit::Status(0) => "Runtime exited without providing a reason".into(),
            exit => format!("Runtime exited with error: {exit}"),
        }
    }
}

/// In Go's words, since Lambda's are.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Exit::Status(status) => return write!(f, "exit status {status}"),
            Exit::Signal(1) => "hangup",
            Exit::Signal(2) => "interrupt",
            Exit::Signal(4) => "illegal instruction",
            Exit::Signal(6) => "aborted",
            Exit::Signal(7) => "bus error",
            Exit::Signal(8) => "floating point exception",
            Exit::Signal(9) => "killed",
            Exit::Signal(11) => "segmentation fault",
            Exit::Signal(13) => "broken pipe",
            Exit::Signal(15) => "terminated",
            Exit::Signal(other) => return write!(f, "signal: signal {other}"),
        };
        write!(f, "signal: {name}")
    }
}
