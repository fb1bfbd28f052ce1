//! A runtime under measurement, the function's own or the floor: started, and given one event after the other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::BenchError;
use super::moment::Moment;
use super::processes::Process;
use super::runtime_api::{Call, Heard, RuntimeApi};
use super::stage::{Running, Stage};
use crate::emulator::Function;

/// What Lambda gives a runtime before its first question.
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// Fields drop in order: first the processes, then what they talk to.
pub struct Runtime {
    running: Running,
    api: RuntimeApi,
    arn: String,
    timeout: Duration,
    count: u64,
    /// From the exec to the first question.
    pub init: Duration,
}

/// One event's way.
#[derive(Debug)]
pub struct Cycle {
    /// When the event began to be handed out.
    handed: Moment,
    /// When the whole answer had been read.
    answered: Moment,
    /// When the next question had been read.
    asked: Moment,
    pub answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Response(Vec<u8>),
    /// What the runtime reported.
    Error(Vec<u8>),
}

impl Runtime {
    /// Starts it and waits for its first question.
    pub fn start(stage: &Stage, function: &Function) -> Result<Self, BenchError> {
        let api = RuntimeApi::listen().map_err(BenchError::io("listen on loopback"))?;
        let running = stage.start(&Stage::environment(function, api.address))?;
        let (arn, timeout, init) = (function.arn(), function.timeout, Duration::ZERO);
        let mut runtime = Self { running, api, arn, timeout, count: 0, init };
        let asked = runtime.question(INIT_LIMIT)?;
        runtime.init = asked.since(runtime.running.exec);
        Ok(runtime)
    }

    /// Gives it an event and waits for the answer and the next question.
    pub fn invoke(&mut self, event: &[u8]) -> Result<Cycle, BenchError> {
        // A runtime that always answers at once leaves no wait in which this would be asked.
        self.running.check()?;
        self.count += 1;
        let id = format!("00000000-0000-4000-8000-{:012x}", self.count);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let headers = format!(
            "Lambda-Runtime-Aws-Request-Id: {id}\r\nLambda-Runtime-Deadline-Ms: {}\r\n\
             Lambda-Runtime-Invoked-Function-Arn: {}\r\n\
             Lambda-Runtime-Trace-Id: Root=1-{:08x}-{:024x};Parent={:016x};Sampled=0\r\n",
            (now + self.timeout).as_millis(),
            self.arn,
            now.as_secs(),
            self.count,
            self.count,
        );
        let handed = self.api.hand_out(&headers, event).map_err(BenchError::io("hand out an event"))?;
        let heard = self.hear(self.timeout)?;
        let (own, answer) = match heard.call {
            Call::Response { id, body } => (id, Answer::Response(body)),
            Call::Error { id, body } => (id, Answer::Error(body)),
            other => return Err(self.unexpected(&other)),
        };
        if own != id {
            return Err(BenchError::Unexpected { what: format!("an answer to {own}"), log: self.running.last_lines() });
        }
        let asked = self.question(self.timeout)?;
        Ok(Cycle { handed, answered: heard.whole, asked, answer })
    }

    /// From the exec to the first answer, given its cycle.
    pub fn since_exec(&self, cycle: &Cycle) -> Duration {
        cycle.answered.since(self.running.exec)
    }

    pub fn processes(&self) -> Vec<Process> {
        self.running.processes()
    }

    pub fn last_lines(&self) -> Vec<String> {
        self.running.last_lines()
    }

    /// When it asked for its next event.
    fn question(&mut self, limit: Duration) -> Result<Moment, BenchError> {
        let heard = self.hear(limit)?;
        match heard.call {
            Call::Next => Ok(heard.head),
            other => Err(self.unexpected(&other)),
        }
    }

    fn hear(&mut self, limit: Duration) -> Result<Heard, BenchError> {
        let end = Moment::now().after(limit);
        let running = &self.running;
        self.api.hear(|| {
            running.check()?;
            if Moment::now() > end {
                return Err(BenchError::Silent { limit, log: running.last_lines() });
            }
            Ok(())
        })
    }

    fn unexpected(&self, call: &Call) -> BenchError {
        let log = self.running.last_lines();
        let what = match call {
            Call::InitError { body } => {
                return BenchError::InitFailed { error: String::from_utf8_lossy(body).into_owned(), log };
            }
            Call::Next => "another question before it had answered".to_owned(),
            Call::Response { .. } | Call::Error { .. } => "an answer that nothing had asked for".to_owned(),
            Call::Other { line } => line.clone(),
        };
        BenchError::Unexpected { what, log }
    }
}

impl Cycle {
    /// From the event to its answer.
    pub fn response(&self) -> Duration {
        self.answered.since(self.handed)
    }

    /// From the event to the next question.
    pub fn next(&self) -> Duration {
        self.asked.since(self.handed)
    }
}

impl Answer {
    /// Of an answer that a front would send on: the response, or the prelude of a streamed one.
    pub fn status(&self) -> Option<u16> {
        let Answer::Response(body) = self else { return None };
        let value = serde_json::Deserializer::from_slice(body).into_iter::<Value>().next()?.ok()?;
        u16::try_from(value.get("statusCode")?.as_u64()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_only_in_a_response_that_has_one() {
        for (answer, status) in [
            (Answer::Response(br#"{"statusCode":404,"body":""}"#.to_vec()), Some(404)),
            (Answer::Response(b"{\"statusCode\":201}\0\0\0\0\0\0\0\0streamed".to_vec()), Some(201)),
            (Answer::Response(b"{}".to_vec()), None),
            (Answer::Response(b"text".to_vec()), None),
            (Answer::Error(br#"{"statusCode":200}"#.to_vec()), None),
        ] {
            assert_eq!(answer.status(), status);
        }
    }
}
