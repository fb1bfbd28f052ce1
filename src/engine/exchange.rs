//! The way of finished steps between the store here and the shared one: pulled before anything is compiled, pushed when
//! they are made.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use crate::plan::{Plan, Step, StepId};
use crate::process;
use crate::progress::{Event, Reporter};
use crate::remote::{Named, Remote};
use crate::store::{Store, StoreError};

use super::EngineError;

/// Calls under way at once. They wait for the network more than they work.
const AT_ONCE: usize = 8;

/// The two stores of a build, and who watches.
#[derive(Clone, Copy)]
pub struct Exchange<'e> {
    pub plan: &'e Plan,
    pub store: &'e Store,
    pub remote: &'e Remote,
    pub reporter: &'e dyn Reporter,
}

impl<'e> Exchange<'e> {
    /// Brings what the plan's end needs and is not here, from the end: where the link is to be had, nothing else is asked
    /// for. Says which steps came.
    pub fn pull(self) -> Result<Vec<StepId>, EngineError> {
        let (mut came, mut asked) = (Vec::new(), BTreeSet::new());
        let mut wanted = vec![self.plan.link()];
        while !wanted.is_empty() {
            wanted.retain(|step| asked.insert(step.id.clone()) && self.store.step(&step.key).is_none());
            let answers = at_once(&wanted, |step| self.bring(step));
            let mut next = Vec::new();
            for (step, answer) in wanted.into_iter().zip(answers) {
                match answer? {
                    true => came.push(step.id.clone()),
                    false => next.extend(step.needs.iter().filter_map(|need| self.plan.step(need))),
                }
            }
            wanted = next;
        }
        Ok(came)
    }

    /// Brings the plan's end alone: for an engine that keeps no other step here.
    pub fn pull_link(self) -> Result<(), EngineError> {
        self.bring(self.plan.link()).map(|_| ())
    }

    /// Sends every step of the plan that is here and not there: also what an earlier build could not send.
    pub fn push(self) {
        let here: Vec<&Step> = self.plan.steps.iter().filter(|step| self.store.step(&step.key).is_some()).collect();
        at_once(&here, |step| self.send(step));
    }

    /// Does `work`, which hands over each step that it has finished; these are sent beside it, and it ends when all are.
    pub(super) fn pushing<T>(self, work: impl FnOnce(&(dyn Fn(&'e Step) + Sync)) -> T) -> T {
        let (hand, finished) = mpsc::channel::<&'e Step>();
        let finished = Mutex::new(finished);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let next = finished.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(step) = next else { return };
                        self.send(step);
                    }
                });
            }
            // The channel ends with `hand`, when the work is done.
            let hand = hand;
            work(&|step| {
                // It cannot fail: who receives ends only after who sends.
                let _ = hand.send(step);
            })
        })
    }

    /// Brings one step; false if it cannot be had.
    fn bring(self, step: &Step) -> Result<bool, EngineError> {
        let name = draft_name(step);
        let _lock = self.store.lock(&name, self.reporter)?;
        if self.store.step(&step.key).is_some() {
            return Ok(true);
        }
        let draft = self.store.draft(&name)?;
        let came = self.bring_into(step, &draft);
        let _ = fs_err::remove_dir_all(&draft);
        came
    }

    /// The same for a caller who holds the step's lock and its draft.
    pub(super) fn bring_into(self, step: &Step, draft: &Path) -> Result<bool, EngineError> {
        let id = step.id.to_string();
        let named = Named { step: &id, key: &step.key };
        let tree = self.remote.pull(named, draft, self.reporter).map_err(|cause| self.store.error(cause))?;
        if process::interrupted() {
            return Err(EngineError::Interrupted);
        }
        let Some(tree) = tree else { return Ok(false) };
        self.store.keep(&step.key, &tree, &self.plan.inputs(step))?;
        Ok(true)
    }

    /// A step that cannot be sent is no reason to end a build: its output is here.
    fn send(self, step: &Step) {
        let Some(tree) = self.store.step(&step.key).filter(|_| self.remote.wants(&step.key)) else { return };
        let name = format!("push-{}", draft_name(step));
        let sent = (|| -> Result<(), StoreError> {
            let _lock = self.store.lock(&name, self.reporter)?;
            let draft = self.store.draft(&name)?;
            let id = step.id.to_string();
            self.remote.push(Named { step: &id, key: &step.key }, &tree, &draft, self.reporter);
            let _ = fs_err::remove_dir_all(&draft);
            Ok(())
        })();
        if let Err(error) = sent {
            self.reporter.event(Event::Warning { text: format!("{} was not pushed: {error}", step.id) });
        }
    }
}

/// The name of a step's lock and of its draft.
pub(super) fn draft_name(step: &Step) -> String {
    format!("{}-{}", step.id.file_name(), step.key.short())
}

/// One answer for each item, in their order.
fn at_once<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let answers: Vec<Mutex<Option<T>>> = items.iter().map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(items.len()) {
            scope.spawn(|| {
                while let Some((item, answer)) = at(items, &answers, next.fetch_add(1, Ordering::Relaxed)) {
                    let made = work(item);
                    *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
                }
            });
        }
    });
    answers.into_iter().filter_map(|answer| answer.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

fn at<'a, I, T>(items: &'a [I], answers: &'a [T], index: usize) -> Option<(&'a I, &'a T)> {
    Some((items.get(index)?, answers.get(index)?))
}
