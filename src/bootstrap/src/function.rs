//! Function mode: an event goes to a PHP function, whose return value is the response.

use std::io;
use std::time::Instant;

use crate::answer::{Answer, FunctionError, InitError, RESPONSE_LIMIT, Reason};
use crate::handler;
use crate::invocation::{Invocation, Patience, START_LIMIT};
use crate::log::Log;
use crate::runtime_api::{ApiError, Reply};
use crate::settings::{Isolation, Memory, PHP, Settings};
use crate::worker::{Message, Report, Silence, Worker, describe};

pub struct Function {
    handler: handler::Function,
    isolation: Isolation,
    memory: Memory,
    log: Log,
    state: State,
}

enum State {
    /// The handler is loaded.
    Ready(Worker),
    /// It is loading: nobody waits for it before the next event.
    Starting(Worker),
    /// It has answered, and the process of that event is at its end: nobody waits for that before the next event.
    Ending(Worker),
    /// The last attempt to start a process failed.
    None,
}

impl Function {
    /// Starts the worker and waits until it has loaded the handler.
    pub fn start(handler: handler::Function, settings: &Settings, log: &Log) -> Result<Self, InitError> {
        let mut function = Function {
            handler,
            isolation: settings.isolation,
            memory: settings.memory.clone(),
            log: log.clone(),
            state: State::None,
        };
        function.load()?;
        Ok(function)
    }

    /// A new worker that has loaded the handler.
    fn load(&mut self) -> Result<(), InitError> {
        self.state = State::None;
        let no_php = |problem: String| InitError::NoPhp { program: PHP.to_owned(), problem };
        let mut worker = self.spawn().map_err(|error| no_php(error.to_string()))?;
        match worker.receive(Patience::until(Instant::now() + START_LIMIT)) {
            Ok(Message::Fatal(Report { error_type, error_message, stack_trace })) => {
                Err(InitError::BadHandler { error_type, message: error_message, stack_trace })
            }
            Ok(_) => {
                self.state = State::Ready(worker);
                Ok(())
            }
            Err(Silence::Ended(status)) => {
                Err(no_php(format!("it ended with {} while loading the handler", describe(status))))
            }
            Err(Silence::Deadline) => {
                Err(no_php(format!("the handler was not loaded within {} seconds", START_LIMIT.as_secs())))
            }
            Err(Silence::Io(error)) => Err(no_php(error.to_string())),
        }
    }

    fn spawn(&self) -> io::Result<Worker> {
        Worker::spawn(&self.handler, self.isolation, &self.memory, &self.log)
    }

    /// A worker that has loaded the handler: the present one, if it lives, else a new one.
    fn ready(&mut self, patience: Patience) -> Result<Worker, FunctionError> {
        let mut state = std::mem::replace(&mut self.state, State::None);
        if let State::Ready(worker) | State::Starting(worker) | State::Ending(worker) = &mut state
            && worker.has_ended()
        {
            state = State::None;
        }
        let mut worker = match state {
            State::Ready(worker) => return Ok(worker),
            State::Ending(mut worker) => {
                if child_has_ended(&mut worker, patience) {
                    return Ok(worker);
                }
                drop(worker);
                self.spawn().map_err(unusable)?
            }
            State::Starting(worker) => worker,
            State::None => self.spawn().map_err(unusable)?,
        };
        match worker.receive(patience) {
            Ok(Message::Fatal(report)) => Err(reported(report)),
            Ok(_) => Ok(worker),
            Err(silence) => Err(silent(silence)),
        }
    }

    fn call(&mut self, invocation: &Invocation) -> Result<Vec<u8>, FunctionError> {
        let patience = invocation.patience;
        let mut worker = self.ready(patience)?;
        let message = worker
            .send(&invocation.context.to_json(), &invocation.event, patience)
            .and_then(|()| worker.receive(patience));
        self.state = self.after(worker, &message);
        match message {
            Ok(Message::Response(body)) if body.len() > RESPONSE_LIMIT => Err(FunctionError::too_large(body.len())),
            Ok(Message::Response(body)) => Ok(body),
            Ok(Message::Thrown(report) | Message::Fatal(report)) => Err(reported(report)),
            Ok(Message::Stopped(report)) => Err(stopped(report)),
            Ok(Message::ChildEnded(how)) => Err(exited(&how)),
            Ok(Message::ChildStopped) => Err(silent(Silence::Deadline)),
            Ok(Message::Ready) => Err(unusable(io::ErrorKind::InvalidData.into())),
            Err(silence) => Err(silent(silence)),
        }
    }

    /// What stands ready for the next event.
    fn after(&self, worker: Worker, message: &Result<Message, Silence>) -> State {
        match (self.isolation, message) {
            (Isolation::Worker, Ok(Message::Response(_) | Message::Thrown(_))) => State::Ready(worker),
            (Isolation::Process, Ok(Message::Response(_) | Message::Thrown(_) | Message::Stopped(_))) => {
                State::Ending(worker)
            }
            (Isolation::Process, Ok(Message::ChildEnded(_) | Message::ChildStopped)) => State::Ready(worker),
            (Isolation::Process, Err(Silence::Deadline)) => {
                worker.kill_child();
                State::Ending(worker)
            }
            _ => {
                // The old one is killed before the new one starts: there is memory for one.
                drop(worker);
                self.spawn().map_or(State::None, State::Starting)
            }
        }
    }
}

impl Answer for Function {
    fn answer(&mut self, invocation: &Invocation, reply: Reply<'_>) -> Result<(), ApiError> {
        reply.whole(self.call(invocation))
    }

    /// The process of the snapshot has connections and random states that all copies would share.
    fn after_restore(&mut self) -> Result<(), InitError> {
        self.load()
    }
}

/// Waits for the end of the process that has answered the event before: for half of what the present event has, then it is
/// killed.
fn child_has_ended(worker: &mut Worker, patience: Patience) -> bool {
    let now = Instant::now();
    let ended = |message| matches!(message, Ok(Message::ChildEnded(_)));
    let half = Patience::until(now + patience.stop.saturating_duration_since(now) / 2);
    if ended(worker.receive(half)) {
        return true;
    }
    worker.kill_child();
    ended(worker.receive(Patience::until(patience.stop)))
}

fn reported(Report { error_type, error_message, stack_trace }: Report) -> FunctionError {
    FunctionError { error_type, error_message, stack_trace, reason: Reason::UnhandledError }
}

/// PHP's own message would speak of a limit of 0 seconds: of its own it has none.
fn stopped(Report { stack_trace, .. }: Report) -> FunctionError {
    let mut error = FunctionError::new(Reason::Timeout, NOT_RETURNED);
    if let Some(place) = stack_trace.first() {
        error.error_message.push_str(&format!("; it was at {place}"));
    }
    FunctionError { stack_trace, ..error }
}

const NOT_RETURNED: &str = "the handler did not return before the function's timeout";

fn silent(silence: Silence) -> FunctionError {
    match silence {
        Silence::Ended(status) => exited(&describe(status)),
        Silence::Deadline => FunctionError::new(Reason::Timeout, NOT_RETURNED),
        Silence::Io(error) => unusable(error),
    }
}

/// `how`: a status or a signal.
fn exited(how: &str) -> FunctionError {
    FunctionError::new(Reason::WorkerExit, format!("the PHP process ended with {how} before it answered"))
}

fn unusable(error: io::Error) -> FunctionError {
    FunctionError::new(Reason::WorkerExit, format!("the PHP process cannot be used: {error}"))
}
