//! What long work tells whoever watches: events go up, nobody below the command line prints.

use std::time::Duration;

/// One thing that happened. Sizes are in bytes.
#[derive(Clone, Debug)]
pub enum Event {
    /// The plan stands: so many steps, so many of them in the store already.
    Planned {
        recipe: String,
        target: String,
        steps: usize,
        stored: usize,
    },
    FetchStarted {
        name: String,
        place: String,
    },
    FetchProgress {
        name: String,
        done: u64,
        total: Option<u64>,
    },
    Fetched {
        name: String,
        size: u64,
        place: String,
    },
    /// A step begins; `running` counts those under way, this one included.
    StepStarted {
        step: String,
        running: usize,
    },
    StepFinished {
        step: String,
        elapsed: Duration,
    },
    /// The builder had it from an earlier run.
    StepCached {
        step: String,
    },
    StepFailed {
        step: String,
        elapsed: Duration,
    },
    /// A finished step begins to come from the shared store, or to go there.
    MoveStarted {
        step: String,
        way: Way,
    },
    Moved {
        step: String,
        way: Way,
        size: u64,
        elapsed: Duration,
    },
    /// It did not come about; what that means is said by a warning.
    MoveEnded {
        step: String,
        way: Way,
    },
    /// Waiting for another process of ours that holds the same lock.
    Waiting {
        what: String,
    },
    /// A finished piece of work in one line: verb (`Pack`, `Audit`, `Publish`) and what came of it.
    Done {
        verb: &'static str,
        text: String,
    },
    /// Something the user should know that stops nothing.
    Warning {
        text: String,
    },
}

/// From the shared store, or to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Pull,
    Push,
}

/// Receives events from any thread; it must not block for long.
pub trait Reporter: Send + Sync {
    fn event(&self, event: Event);
}

/// Nobody watches.
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _: Event) {}
}
