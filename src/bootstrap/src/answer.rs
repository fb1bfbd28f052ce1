//! What a mode of the runtime does with an event, and the two ways in which it can fail.

use std::fmt;

use serde::Serialize;

use crate::invocation::Invocation;
use crate::runtime_api::{ApiError, Reply};

/// The most that Lambda takes as a response, in bytes: 6 MiB and 100 bytes.
pub const RESPONSE_LIMIT: usize = 6_291_556;

/// One mode of the runtime.
pub trait Answer {
    /// Answers an invocation by its `reply`. Whatever the function does costs this invocation only: the next call must
    /// work again. An error is the Runtime API's, and ends the runtime.
    fn answer(&mut self, invocation: &Invocation, reply: Reply<'_>) -> Result<(), ApiError>;

    /// Makes anew what copies of a snapshot must not share: connections, and the state of random generators.
    fn after_restore(&mut self) -> Result<(), InitError>;
}

/// One failed invocation, in the form of Lambda's error report.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionError {
    pub error_type: String,
    pub error_message: String,
    pub stack_trace: Vec<String>,
    #[serde(skip)]
    pub reason: Reason,
}

/// Why an invocation failed: `Function.*`, as the header `Lambda-Runtime-Function-Error-Type` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The application threw, or a fatal error ended it.
    UnhandledError,
    /// The PHP process ended before it answered.
    WorkerExit,
    /// No answer came before the deadline.
    Timeout,
    ResponseTooLarge,
    /// The event is not of a kind that this mode can take.
    InvalidEvent,
    /// The command of console mode ended with a status other than 0.
    CommandFailed,
}

impl Reason {
    /// `Category.Reason`, as the Runtime API asks for it.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::UnhandledError => "Function.UnhandledError",
            Reason::WorkerExit => "Function.WorkerExit",
            Reason::Timeout => "Function.Timeout",
            // The name under which the caller knows it from Lambda itself.
            Reason::ResponseTooLarge => "Function.ResponseSizeTooLarge",
            Reason::InvalidEvent => "Function.InvalidEvent",
            Reason::CommandFailed => "Function.CommandFailed",
        }
    }
}

impl FunctionError {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        FunctionError {
            error_type: reason.name().to_owned(),
            error_message: message.into(),
            stack_trace: Vec::new(),
            reason,
        }
    }

    pub fn too_large(bytes: usize) -> Self {
        Self::new(
            Reason::ResponseTooLarge,
            format!("the response has {bytes} bytes, and Lambda takes at most {RESPONSE_LIMIT}"),
        )
    }

    /// Lambda refuses a report that is larger than a response: then the longest texts are cut, and type and reason stay.
    pub fn to_json(&self) -> String {
        let json = to_json(self);
        if json.len() <= RESPONSE_LIMIT {
            return json;
        }
        let cut = |text: &String| text.chars().take(TEXT_LIMIT).collect();
        to_json(&FunctionError {
            error_type: cut(&self.error_type),
            error_message: cut(&self.error_message),
            stack_trace: self.stack_trace.iter().take(TRACE_LIMIT).map(cut).collect(),
            reason: self.reason,
        })
    }
}

/// What is left of a report that is too large: so many characters of each text, so many lines of the trace. All together is
/// below [`RESPONSE_LIMIT`] even if each character becomes six bytes.
const TEXT_LIMIT: usize = 10_000;
const TRACE_LIMIT: usize = 50;

/// Nothing can be served: Lambda is told, and the process ends.
#[derive(Debug, PartialEq, Eq)]
pub enum InitError {
    /// A variable has a value that means nothing.
    BadSetting {
        name: &'static str,
        value: String,
        /// What it can be, in words.
        expected: String,
    },
    NoHandler {
        handler: String,
        looked_at: Vec<String>,
    },
    /// The PHP process could not be started, or ended while starting.
    NoPhp {
        program: String,
        problem: String,
    },
    /// The handler's file was loaded and is not usable, or failed while loading.
    BadHandler {
        error_type: String,
        message: String,
        stack_trace: Vec<String>,
    },
}

impl InitError {
    /// The value of `Lambda-Runtime-Function-Error-Type`.
    pub const fn reason(&self) -> &'static str {
        match self {
            InitError::BadSetting { .. } => "Runtime.BadSetting",
            InitError::NoHandler { .. } => "Runtime.NoSuchHandler",
            InitError::NoPhp { .. } => "Runtime.PhpFailedToStart",
            InitError::BadHandler { .. } => "Runtime.HandlerFailedToLoad",
        }
    }

    /// The report that Lambda hands to the caller.
    pub fn to_json(&self) -> String {
        let (error_type, stack_trace) = match self {
            InitError::BadHandler { error_type, stack_trace, .. } => (error_type.as_str(), stack_trace.as_slice()),
            _ => (self.reason(), [].as_slice()),
        };
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Report<'a> {
            error_type: &'a str,
            error_message: String,
            stack_trace: &'a [String],
        }
        to_json(&Report { error_type, error_message: self.to_string(), stack_trace })
    }
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InitError::BadSetting { name, value, expected } => write!(f, "{name} is `{value}`; it can be {expected}"),
            InitError::NoHandler { handler, looked_at } => {
                write!(f, "no handler `{handler}`: looked for {}", looked_at.join(", "))
            }
            InitError::NoPhp { program, problem } => write!(f, "cannot start {program}: {problem}"),
            InitError::BadHandler { message, .. } => f.write_str(message),
        }
    }
}

/// JSON of something that has string keys and no failing parts.
pub fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, numbers and lists always have a JSON form")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_never_larger_than_lambda_takes() {
        let mut error = FunctionError::new(Reason::UnhandledError, "\u{1}".repeat(1_000_000));
        error.stack_trace = vec!["\u{1}".repeat(20_000); 100];
        assert!(error.to_json().len() <= RESPONSE_LIMIT);
        assert!(error.to_json().starts_with("{\"errorType\":\"Function.UnhandledError\""));
    }
}
