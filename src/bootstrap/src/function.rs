//! Function mode: an event goes to a PHP function, whose return value is the response.

use std::io;
use std::time::{Duration, Instant};

use crate::answer::{Answer, FunctionError, InitError, RESPONSE_LIMIT, Reason};
use crate::handler;
use crate::invocation::Invocation;
use crate::settings::{PHP, Settings};
use crate::worker::{Message, Report, Silence, Worker, describe};

/// Lambda's own limit for the whole start.
const START_LIMIT: Duration = Duration::from_secs(10);

pub struct Function {
    handler: handler::Function,
    state: State,
}

enum State {
    /// The handler is loaded.
    Ready(Worker),
    /// It is loading: nobody waits for it before the next event.
    Starting(Worker),
    /// The last attempt to start a process failed.
    None,
}

impl Function {
    /// Starts the worker and waits until it has loaded the handler.
    pub fn start(handler: handler::Function, _settings: &Settings) -> Result<Self, InitError> {
        let no_php = |problem: String| InitError::NoPhp { program: PHP.to_owned(), problem };
        let mut worker = Worker::spawn(&handler).map_err(|error| no_php(error.to_string()))?;
        match worker.receive(Instant::now() + START_LIMIT) {
            Ok(Message::Fatal(Report { error_type, error_message, stack_trace })) => {
                Err(InitError::BadHandler { error_type, message: error_message, stack_trace })
            }
            Ok(_) => Ok(Function { handler, state: State::Ready(worker) }),
            Err(Silence::Ended(status)) => {
                Err(no_php(format!("it ended with {} while loading the handler", describe(status))))
            }
            Err(Silence::Deadline) => {
                Err(no_php(format!("the handler was not loaded within {} seconds", START_LIMIT.as_secs())))
            }
            Err(Silence::Io(error)) => Err(no_php(error.to_string())),
        }
    }

    /// A worker that has loaded the handler: the present one, if it lives, else a new one.
    fn ready(&mut self, cut_off: Instant) -> Result<Worker, FunctionError> {
        let mut state = std::mem::replace(&mut self.state, State::None);
        if let State::Ready(worker) | State::Starting(worker) = &mut state
            && worker.has_ended()
        {
            state = State::None;
        }
        let mut worker = match state {
            State::Ready(worker) => return Ok(worker),
            State::Starting(worker) => worker,
            State::None => Worker::spawn(&self.handler).map_err(unusable)?,
        };
        match worker.receive(cut_off) {
            Ok(Message::Fatal(report)) => Err(reported(report)),
            Ok(_) => Ok(worker),
            Err(silence) => Err(silent(silence)),
        }
    }
}

impl Answer for Function {
    fn answer(&mut self, invocation: &Invocation) -> Result<Vec<u8>, FunctionError> {
        let cut_off = invocation.cut_off;
        let mut worker = self.ready(cut_off)?;
        let message = worker
            .send(&invocation.context.to_json(), &invocation.event, cut_off)
            .and_then(|()| worker.receive(cut_off));
        if matches!(message, Ok(Message::Response(_) | Message::Thrown(_))) {
            self.state = State::Ready(worker);
        } else {
            // The old one is killed before the new one starts: there is memory for one.
            drop(worker);
            self.state = Worker::spawn(&self.handler).map_or(State::None, State::Starting);
        }
        match message {
            Ok(Message::Response(body)) if body.len() > RESPONSE_LIMIT => Err(FunctionError::too_large(body.len())),
            Ok(Message::Response(body)) => Ok(body),
            Ok(Message::Thrown(report) | Message::Fatal(report)) => Err(reported(report)),
            Ok(Message::Ready) => Err(unusable(io::ErrorKind::InvalidData.into())),
            Err(silence) => Err(silent(silence)),
        }
    }
}

fn reported(Report { error_type, error_message, stack_trace }: Report) -> FunctionError {
    FunctionError { error_type, error_message, stack_trace, reason: Reason::UnhandledError }
}

fn silent(silence: Silence) -> FunctionError {
    match silence {
        Silence::Ended(status) => FunctionError::new(
            Reason::WorkerExit,
            format!("the PHP process ended with {} before it answered", describe(status)),
        ),
        Silence::Deadline => {
            FunctionError::new(Reason::Timeout, "the handler did not return before the function's timeout")
        }
        Silence::Io(error) => unusable(error),
    }
}

fn unusable(error: io::Error) -> FunctionError {
    FunctionError::new(Reason::WorkerExit, format!("the PHP process cannot be used: {error}"))
}
