//! The last invocations of a function that is served, within bounds, for people to look at.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::clock::Clock;
use super::{Invocation, LogSink};

/// So many invocations are remembered.
const INVOCATIONS: usize = 200;
/// So much of an event, and of a response, in bytes.
const PAYLOAD: usize = 64 * 1024;
/// So much of an invocation's log, in bytes.
const LOG: usize = 64 * 1024;

#[derive(Debug, Default)]
pub struct History(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: VecDeque<Entry>,
    /// Counts the invocations.
    count: u64,
    /// Grows with every change, so that a reader sees whether there is something new.
    version: u64,
    /// What is written while no invocation runs: it belongs to the next one, as an init does.
    between: Log,
}

#[derive(Debug)]
struct Entry {
    summary: Summary,
    details: Details,
}

/// A line of the list.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// From 1.
    number: u64,
    started: String,
    method: String,
    target: String,
    /// None while it runs.
    end: Option<End>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    request_id: String,
    /// What the client got; None where its answer was cut.
    status: Option<u16>,
    duration_ms: f64,
    billed_ms: u64,
    init_ms: Option<f64>,
    restore_ms: Option<f64>,
    memory_mb: Option<u64>,
    /// Lambda's name for what went wrong in the function.
    error: Option<String>,
    /// Why the function's answer could not be sent.
    malformed: Option<String>,
}

/// All that is remembered of one invocation beside its line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Details {
    event: Excerpt,
    response: Excerpt,
    log: Log,
}

/// The beginning of a text.
#[derive(Clone, Debug, Default, Serialize)]
struct Excerpt {
    text: String,
    /// How many bytes the whole has.
    size: usize,
    cut: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Log {
    lines: Vec<String>,
    #[serde(skip)]
    size: usize,
    /// Lines that found no room.
    dropped: usize,
}

/// What the list shows.
#[derive(Debug, Serialize)]
pub struct List {
    pub version: u64,
    pub invocations: Vec<Summary>,
    /// Lines since the last invocation.
    between: Log,
}

/// What came of an invocation, as its client saw it.
#[derive(Debug)]
pub struct Answered<'a> {
    pub invocation: &'a Invocation,
    pub status: Option<u16>,
    pub response: &'a [u8],
    /// The response's size; more than `response` has where it was streamed.
    pub size: usize,
    pub malformed: Option<String>,
}

impl History {
    /// A sink that remembers each line and hands it on.
    pub fn recording(self: &Arc<Self>, sink: LogSink) -> LogSink {
        let history = Arc::clone(self);
        Arc::new(move |line: &str| {
            history.line(line);
            sink(line);
        })
    }

    fn line(&self, line: &str) {
        let mut inner = self.inner();
        inner.version += 1;
        match inner.entries.back_mut().filter(|entry| entry.summary.end.is_none()) {
            Some(running) => running.details.log.push(line),
            None => inner.between.push(line),
        }
    }

    /// An invocation begins; one at a time.
    pub fn begin(&self, method: &str, target: &str, event: &str) {
        let mut inner = self.inner();
        inner.version += 1;
        inner.count += 1;
        if inner.entries.len() == INVOCATIONS {
            inner.entries.pop_front();
        }
        let summary = Summary {
            number: inner.count,
            started: Clock::now().iso(),
            method: method.to_owned(),
            target: target.to_owned(),
            end: None,
        };
        let log = std::mem::take(&mut inner.between);
        let details = Details { event: Excerpt::of(event.as_bytes(), event.len()), response: Excerpt::default(), log };
        inner.entries.push_back(Entry { summary, details });
    }

    /// The invocation that runs has ended.
    pub fn end(&self, answered: &Answered<'_>) {
        let mut inner = self.inner();
        inner.version += 1;
        let Some(entry) = inner.entries.back_mut() else { return };
        let invocation = answered.invocation;
        entry.details.response = Excerpt::of(answered.response, answered.size);
        entry.summary.end = Some(End {
            request_id: invocation.request_id.clone(),
            status: answered.status,
            duration_ms: milliseconds(invocation.duration),
            billed_ms: invocation.billed_ms,
            init_ms: invocation.init.map(milliseconds),
            restore_ms: invocation.restore.map(milliseconds),
            memory_mb: invocation.max_memory_mb,
            error: invocation.outcome.error_type().map(str::to_owned),
            malformed: answered.malformed.clone(),
        });
    }

    /// The emulator itself failed, so there is nothing to tell of.
    pub fn give_up(&self) {
        let mut inner = self.inner();
        inner.version += 1;
        if let Some(entry) = inner.entries.pop_back() {
            inner.between = entry.details.log;
        }
    }

    pub fn list(&self) -> List {
        let inner = self.inner();
        let invocations = inner.entries.iter().rev().map(|entry| entry.summary.clone()).collect();
        List { version: inner.version, invocations, between: inner.between.clone() }
    }

    pub fn details(&self, number: u64) -> Option<Details> {
        let inner = self.inner();
        inner.entries.iter().find(|entry| entry.summary.number == number).map(|entry| entry.details.clone())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Only people read it: a half-made entry harms nobody.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Excerpt {
    fn of(bytes: &[u8], size: usize) -> Self {
        let kept = &bytes[..bytes.len().min(PAYLOAD)];
        Self { text: String::from_utf8_lossy(kept).into_owned(), size, cut: kept.len() < size }
    }
}

impl Log {
    fn push(&mut self, line: &str) {
        self.size += line.len() + 1;
        if self.size > LOG {
            self.dropped += 1;
        } else {
            self.lines.push(line.to_owned());
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::Outcome;

    fn invocation() -> Invocation {
        Invocation {
            request_id: "id".into(),
            outcome: Outcome::TimedOut { limit: Duration::from_secs(1) },
            init: Some(Duration::from_millis(2)),
            restore: None,
            duration: Duration::from_micros(1_234),
            billed_ms: 4,
            max_memory_mb: Some(9),
        }
    }

    #[test]
    fn lines_go_to_their_invocation() {
        let history = Arc::new(History::default());
        let sink = history.recording(Arc::new(|_: &str| {}));
        sink("init");
        assert_eq!(history.list().between.lines, ["init"]);
        history.begin("GET", "/a", "{}");
        sink("start");
        history.end(&Answered {
            invocation: &invocation(),
            status: Some(502),
            response: b"no",
            size: 2,
            malformed: None,
        });
        sink("late");
        history.begin("GET", "/b", "{}");
        let list = history.list();
        let targets: Vec<&str> = list.invocations.iter().map(|line| line.target.as_str()).collect();
        assert_eq!(targets, ["/b", "/a"], "the newest on top");
        assert_eq!(history.details(1).unwrap().log.lines, ["init", "start"]);
        assert_eq!(history.details(2).unwrap().log.lines, ["late"]);
        let end = list.invocations[1].end.as_ref().unwrap();
        assert_eq!((end.error.as_deref(), end.duration_ms, end.init_ms), (Some("Sandbox.Timeout"), 1.23, Some(2.0)));
        assert!(list.invocations[0].end.is_none());
    }

    #[test]
    fn everything_is_bounded() {
        let history = History::default();
        for number in 0..INVOCATIONS + 5 {
            history.begin("GET", &format!("/{number}"), &"x".repeat(PAYLOAD + 1));
            for _ in 0..3 {
                history.line(&"y".repeat(LOG / 2));
            }
            let response = vec![b'z'; PAYLOAD];
            history.end(&Answered {
                invocation: &invocation(),
                status: None,
                response: &response,
                size: 2 * PAYLOAD,
                malformed: None,
            });
        }
        assert_eq!(history.list().invocations.len(), INVOCATIONS);
        assert!(history.details(5).is_none());
        let details = history.details(6).unwrap();
        assert_eq!((details.event.text.len(), details.event.size, details.event.cut), (PAYLOAD, PAYLOAD + 1, true));
        assert_eq!((details.response.text.len(), details.response.cut), (PAYLOAD, true));
        assert_eq!((details.log.lines.len(), details.log.dropped), (1, 2));
    }
}
