//! The local engine: steps under bubblewrap, as many at once as there are jobs, each output kept in the store.

mod jobs;
mod sandbox;
mod schedule;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::plan::{Plan, Step};
use crate::process::{self, ProcessError};
use crate::progress::{Event, Reporter};
use crate::remote::Remote;
use crate::source::Fetcher;
use crate::store::Store;
use crate::toolchain::Toolchain;

use super::exchange::{Exchange, draft_name};
use super::{EngineError, Tree, sources};
use jobs::Jobs;
use sandbox::Sandbox;

/// What a run works with.
pub struct Workshop<'w> {
    pub store: &'w Store,
    pub fetcher: &'w Fetcher,
    pub toolchain: &'w Toolchain,
    /// Where other machines leave their steps, and where they find this one's.
    pub remote: Option<&'w Remote>,
    pub reporter: &'w dyn Reporter,
    /// The recipe's file as the user names it, for the way into a failed step.
    pub recipe: &'w Path,
    /// Processes at once, over all steps together.
    pub jobs: usize,
}

impl<'w> Workshop<'w> {
    fn exchange(&self, plan: &'w Plan) -> Option<Exchange<'w>> {
        let Self { store, reporter, .. } = *self;
        self.remote.map(|remote| Exchange { plan, store, remote, reporter })
    }
}

/// The steps whose outputs are not in the store and that the plan's end needs, in order.
pub fn outstanding<'p>(plan: &'p Plan, store: &Store) -> Vec<&'p Step> {
    let mut wanted = vec![plan.link().id.clone()];
    let mut missing = Vec::new();
    // Needs stand before their users, so one pass from the end sees every user before its need.
    for step in plan.steps.iter().rev() {
        if wanted.contains(&step.id) && store.step(&step.key).is_none() {
            wanted.extend(step.needs.iter().cloned());
            missing.push(step);
        }
    }
    missing.reverse();
    missing
}

/// Runs what is outstanding. No step is run twice, whoever else works on the same store.
pub fn run<'p>(plan: &'p Plan, workshop: &'p Workshop<'p>) -> Result<Tree, EngineError> {
    let steps = outstanding(plan, workshop.store);
    sources::fetch(&steps, workshop.store, workshop.fetcher, workshop.reporter)?;

    let jobs = Jobs::new(workshop.jobs).map_err(EngineError::Jobs)?;
    let exchange = workshop.exchange(plan);
    let work = |hand_over: &(dyn Fn(&'p Step) + Sync)| {
        schedule::run(&steps, workshop.jobs, |step, running| {
            let _job = jobs.take().map_err(EngineError::Jobs)?;
            let made = make(plan, step, workshop, &jobs, running)?;
            if made.is_some() {
                hand_over(step);
            }
            Ok::<_, EngineError>(made.map(|elapsed| (step.id.clone(), elapsed)))
        })
    };
    let ran = match exchange {
        Some(exchange) => exchange.pushing(work),
        None => work(&|_| ()),
    }?;
    let ran = ran.into_iter().flatten().collect();
    let root = workshop.store.step(&plan.link().key).expect("the schedule ended well, so the link's output was kept");
    Ok(Tree { root, ran })
}

/// Runs one step, keeps its output, and says how long it took: none if somebody else has made it meanwhile.
fn make(
    plan: &Plan,
    step: &Step,
    workshop: &Workshop<'_>,
    jobs: &Jobs,
    running: usize,
) -> Result<Option<Duration>, EngineError> {
    let store = workshop.store;
    let name = draft_name(step);
    let _lock = store.lock(&name, workshop.reporter)?;
    if store.step(&step.key).is_some() {
        return Ok(None);
    }
    let draft = store.draft(&name)?;
    // Asked once more: another machine of the pipeline may have finished it since this build began.
    if let Some(exchange) = workshop.exchange(plan)
        && exchange.bring_into(step, &draft)?
    {
        let _ = fs_err::remove_dir_all(&draft);
        return Ok(None);
    }
    let id = step.id.to_string();
    workshop.reporter.event(Event::StepStarted { step: id.clone(), running });
    let start = Instant::now();
    let result = compile(plan, step, workshop, jobs, &draft);
    let elapsed = start.elapsed();
    workshop.reporter.event(match &result {
        Ok(()) => Event::StepFinished { step: id, elapsed },
        Err(_) => Event::StepFailed { step: id, elapsed },
    });
    result.map(|()| Some(elapsed))
}

/// Runs the step's script in its sandbox, whose folders stand in `draft`.
fn compile(plan: &Plan, step: &Step, workshop: &Workshop<'_>, jobs: &Jobs, draft: &Path) -> Result<(), EngineError> {
    let store = workshop.store;
    let (output, build) = (draft.join("output"), draft.join("build"));
    for folder in [&output, &build] {
        fs_err::create_dir_all(folder).map_err(|cause| store.error(cause))?;
    }
    let mut sandbox = sandbox(plan, step, workshop, &output, &build)?;
    sandbox.environment(jobs.environment());
    let log = store.log(&step.id.file_name(), &step.key);
    let lend = jobs.lender();
    let result = process::run_logged(workshop.toolchain.bwrap(), &sandbox.run(&step.script), &log, move |command| {
        process::lead_a_group(command);
        lend(command);
    });
    match result {
        Ok(()) => {
            store.keep(&step.key, &output, &plan.inputs(step))?;
            let _ = fs_err::remove_dir_all(draft);
            Ok(())
        }
        Err(ProcessError::Interrupted) => {
            let _ = fs_err::remove_dir_all(draft);
            Err(EngineError::Interrupted)
        }
        Err(ProcessError::Failed { log, last, .. }) => {
            let wreck = store.root().join("wrecks").join(step.key.to_string());
            let _ = fs_err::remove_dir_all(&wreck);
            let _ = fs_err::create_dir_all(store.root().join("wrecks")).and_then(|()| fs_err::rename(draft, &wreck));
            Err(failed(workshop.recipe, step, log, last))
        }
        Err(cause) => Err(EngineError::NotRun { step: step.id.clone(), cause }),
    }
}

/// A step that ran out of space says so in the compiler's words; here it gets the way out.
fn failed(recipe: &Path, step: &Step, log: PathBuf, last: Vec<String>) -> EngineError {
    if last.iter().any(|line| line.contains("No space left on device")) {
        let root = log.ancestors().nth(2).map(Path::to_owned).unwrap_or_default();
        return crate::store::StoreError::Full { root }.into();
    }
    EngineError::Step { step: step.id.clone(), recipe: recipe.to_owned(), log, last }
}

/// Opens a shell where the step runs, with what its last failure left, if it failed.
pub fn shell(plan: &Plan, step: &Step, workshop: &Workshop<'_>) -> Result<i32, EngineError> {
    let store = workshop.store;
    for need in &step.needs {
        let known = plan.step(need).is_some_and(|need| store.step(&need.key).is_some());
        if !known {
            let last = vec![format!("{need} is not in the store; `phplayer build` makes it")];
            return Err(EngineError::Step {
                step: need.clone(),
                recipe: workshop.recipe.to_owned(),
                log: store.log(&need.file_name(), &step.key),
                last,
            });
        }
    }
    let wreck = store.root().join("wrecks").join(step.key.to_string());
    let scratch = tempfile::tempdir_in(store.root().join("tmp")).map_err(|cause| store.error(cause))?;
    let folder = if wreck.is_dir() { wreck.as_path() } else { scratch.path() };
    for name in ["output", "build"] {
        fs_err::create_dir_all(folder.join(name)).map_err(|cause| store.error(cause))?;
    }
    fs_err::write(folder.join("build/.phplayer-step"), &step.script).map_err(|cause| store.error(cause))?;
    let sandbox = sandbox(plan, step, workshop, &folder.join("output"), &folder.join("build"))?;
    process::run_interactive(workshop.toolchain.bwrap(), &sandbox.shell())
        .map_err(|cause| EngineError::NotRun { step: step.id.clone(), cause })
}

fn sandbox(
    plan: &Plan,
    step: &Step,
    workshop: &Workshop<'_>,
    output: &Path,
    build: &Path,
) -> Result<Sandbox, EngineError> {
    let store = workshop.store;
    let mut sandbox = Sandbox::new(workshop.toolchain, store).map_err(|cause| store.error(cause))?;
    for mount in &step.sources {
        let tree = sources::tree(&mount.pinned, store, workshop.fetcher, workshop.reporter)?;
        sandbox.read_only(&tree, &mount.at);
    }
    for need in &step.needs {
        if let Some(tree) = plan.step(need).and_then(|need| store.step(&need.key)) {
            sandbox.read_only(&tree, &need.place());
        }
    }
    sandbox.writable(output, &step.id.place());
    sandbox.writable(build, "/build");
    sandbox.environment(step.environment.iter().map(|(name, value)| (name.clone(), value.into())).collect());
    Ok(sandbox)
}
