//! The order of work: a step starts when its needs are done, several at once, the first failure ends it.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::plan::{Step, StepId};

struct State<'s, T, E> {
    waiting: Vec<&'s Step>,
    running: BTreeSet<StepId>,
    done: Vec<T>,
    failed: Option<E>,
}

/// Calls `make` for each step, never before its needs, at most `workers` at once. After a failure nothing new starts;
/// what runs is let finish, so that its output is kept. Steps stand in order of preference.
pub(super) fn run<'s, T: Send, E: Send>(
    steps: &[&'s Step],
    workers: usize,
    make: impl Fn(&'s Step, usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let state = Mutex::new(State { waiting: steps.to_vec(), running: BTreeSet::new(), done: Vec::new(), failed: None });
    let changed = Condvar::new();
    let work = || {
        let mut now = state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if now.failed.is_some() || now.waiting.is_empty() {
                return;
            }
            let unfinished: BTreeSet<&StepId> = now.waiting.iter().map(|step| &step.id).chain(&now.running).collect();
            let ready = now.waiting.iter().position(|step| step.needs.iter().all(|need| !unfinished.contains(need)));
            let Some(at) = ready else {
                now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let step = now.waiting.remove(at);
            now.running.insert(step.id.clone());
            let running = now.running.len();
            drop(now);
            let result = make(step, running);
            now = state.lock().unwrap_or_else(PoisonError::into_inner);
            now.running.remove(&step.id);
            match result {
                Ok(done) => now.done.push(done),
                Err(error) => now.failed = now.failed.take().or(Some(error)),
            }
            changed.notify_all();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            scope.spawn(work);
        }
    });
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.failed {
        Some(error) => Err(error),
        None => Ok(state.done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn step(name: &str, needs: &[&str]) -> Step {
        let library = |name: &str| StepId::Library(name.to_owned());
        Step {
            id: library(name),
            sources: Vec::new(),
            needs: needs.iter().map(|need| library(need)).collect(),
            environment: Default::default(),
            script: String::new(),
            tools: Vec::new(),
            key: Digest::of(name.as_bytes()),
        }
    }

    #[test]
    fn needs_are_done_first_and_each_step_once() {
        let steps =
            [step("zlib", &[]), step("openssl", &[]), step("curl", &["openssl", "zlib"]), step("far", &["stored"])];
        let all: Vec<&Step> = steps.iter().collect();
        let made = Mutex::new(Vec::new());
        let done = run(&all, 3, |step, _| {
            made.lock().expect("nobody panicked").push(step.id.to_string());
            Ok::<_, ()>(step.id.to_string())
        })
        .expect("nothing fails");
        assert_eq!(done.len(), 4);
        let made = made.into_inner().expect("nobody panicked");
        let at = |name: &str| made.iter().position(|made| made == name).expect("made");
        assert!(at("lib:curl") > at("lib:zlib") && at("lib:curl") > at("lib:openssl"), "{made:?}");
    }

    #[test]
    fn after_a_failure_nothing_new_starts() {
        let steps = [step("bad", &[]), step("user", &["bad"]), step("other", &["user"])];
        let all: Vec<&Step> = steps.iter().collect();
        let result = run(&all, 2, |step, _| if step.id.to_string() == "lib:bad" { Err("broken") } else { Ok(()) });
        assert_eq!(result, Err("broken"));
    }
}
