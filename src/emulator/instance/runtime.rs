//! A living runtime: its start, its way through one event, and what is waited for meanwhile.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use super::{Instance, LOOK, ResponseStream, uuid};
use crate::emulator::runtime_api::{Event, RuntimeApi, Task};
use crate::emulator::sandbox::Sandbox;
use crate::emulator::{EmulatorError, Exit, Outcome, environment};

/// What a runtime has for its end after SIGTERM, where an internal extension is registered.
const GRACE: Duration = Duration::from_millis(500);

/// A living runtime and what it does. Fields drop in order: first the processes, then what they talk to.
pub struct Runtime {
    pub sandbox: Sandbox,
    pub api: RuntimeApi,
    events: Receiver<Event>,
}

/// How long the runtime has, and how long it had been given.
#[derive(Clone, Copy)]
pub struct Limit {
    deadline: Instant,
    length: Duration,
}

/// What the runtime did, or why it does nothing any more.
pub enum Waited {
    Snapshot,
    Ready,
    Began { content_type: String },
    Piece(Vec<u8>),
    Answered(Outcome),
    Ended(Outcome),
}

impl Instance {
    pub(super) fn spawn(&self) -> Result<Runtime, EmulatorError> {
        let (sender, events): (Sender<Event>, _) = channel();
        let token = uuid()?;
        let api = RuntimeApi::start(&self.function, &token, sender.clone())
            .map_err(EmulatorError::io("listen on loopback"))?;
        let environment = environment::of(&self.function, api.address, &token, &self.log_stream);
        let ended = move |exit| drop(sender.send(Event::Ended(exit)));
        let sandbox = Sandbox::start(&self.places, self.bootstrap, &environment, Arc::clone(&self.sink), ended)?;
        Ok(Runtime { sandbox, api, events })
    }

    /// One event in a waiting runtime: what came of it, and the runtime if it can take another.
    pub(super) fn run(
        &mut self,
        runtime: Runtime,
        task: Task,
        limit: Limit,
        mut stream: Option<&mut dyn ResponseStream>,
    ) -> Result<(Outcome, Option<Runtime>), EmulatorError> {
        let request_id = task.request_id.clone();
        runtime.api.deliver(task);
        let answer = loop {
            match (self.wait(&runtime, limit)?, &mut stream) {
                (Waited::Answered(outcome), _) => break outcome,
                (Waited::Ended(outcome), _) => return Ok((outcome, None)),
                (Waited::Began { content_type }, Some(stream)) => stream.begin(&content_type),
                (Waited::Piece(bytes), Some(stream)) => stream.piece(bytes),
                _ => {}
            }
        };
        // The event is done when the runtime asks for the next one; until then its time counts. A death in between is
        // in the log only: the caller has the answer.
        loop {
            match self.wait(&runtime, limit)? {
                Waited::Ready => return Ok((answer, Some(runtime))),
                Waited::Ended(outcome) => {
                    drop(runtime);
                    outcome.log_lines(&request_id).iter().for_each(|line| self.line(line));
                    return Ok((answer, None));
                }
                _ => {}
            }
        }
    }

    pub(super) fn wait(&mut self, runtime: &Runtime, limit: Limit) -> Result<Waited, EmulatorError> {
        loop {
            if self.stop.wished() {
                return Err(EmulatorError::Interrupted);
            }
            let left = limit.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Waited::Ended(Outcome::TimedOut { limit: limit.length }));
            }
            // A runtime that streams without a pause is looked at too; one that answers sooner is left in peace.
            if self.looked.elapsed() >= LOOK {
                self.looked = Instant::now();
                let used = runtime.sandbox.memory();
                self.memory = self.memory.max(used);
                if used > Some(u64::from(self.function.memory_mb) * 1024 * 1024) {
                    return Ok(Waited::Ended(Outcome::OutOfMemory));
                }
            }
            let ended = match runtime.events.recv_timeout(left.min(LOOK)) {
                Ok(Event::Snapshot) => return Ok(Waited::Snapshot),
                Ok(Event::Ready) => return Ok(Waited::Ready),
                Ok(Event::Began { content_type }) => return Ok(Waited::Began { content_type }),
                Ok(Event::Piece(bytes)) => return Ok(Waited::Piece(bytes)),
                Ok(Event::Answered(outcome)) => return Ok(Waited::Answered(outcome)),
                Ok(Event::InitFailed { error_type, body }) => Outcome::Reported { error_type, body },
                Ok(Event::Ended(exit)) => Outcome::Exited(exit),
                // Everything that could tell of its end is gone, so it is.
                Err(RecvTimeoutError::Disconnected) => Outcome::Exited(Exit::Signal(9)),
                Err(RecvTimeoutError::Timeout) => continue,
            };
            return Ok(Waited::Ended(ended));
        }
    }
}

impl Limit {
    pub fn from(start: Instant, length: Duration) -> Self {
        Self { deadline: start + length, length }
    }
}

impl Runtime {
    pub fn has_ended(&self) -> bool {
        matches!(self.events.try_recv(), Ok(Event::Ended(_)) | Err(TryRecvError::Disconnected))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Without an extension Lambda kills at once, and so does the sandbox's own end.
        if self.api.has_extensions() {
            self.sandbox.terminate(GRACE);
        }
    }
}
