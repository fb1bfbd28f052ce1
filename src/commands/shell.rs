//! `phplayer shell`: a person in a step's sandbox.

use std::path::PathBuf;

use crate::console::Console;
use crate::engine::local::{self, Workshop};
use crate::failure::{Failure, Outcome};
use crate::plan::StepId;
use crate::toolchain::Toolchain;

use super::chosen::{Chosen, Places};

/// Open a shell in a step's sandbox, with what its last failure left
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer shell recipes/php-84.toml ext:mysqli
  sh -x .phplayer-step        inside: run the step's commands, each shown")]
pub struct Args {
    pub recipe: PathBuf,
    /// For example lib:openssl, php:8.4.24, ext:mysqli; `phplayer plan` lists them
    pub step: StepId,
    #[command(flatten)]
    pub places: Places,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{recipe} has no step {step}")]
#[diagnostic(help("its steps: {known}"))]
struct NoSuchStep {
    recipe: String,
    step: StepId,
    known: String,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let chosen = Chosen::one(&args.recipe)?;
    let plan = chosen.plan()?;
    let Some(step) = plan.step(&args.step) else {
        let known: Vec<String> = plan.steps.iter().map(|step| step.id.to_string()).collect();
        let known = known.join(" ");
        return Err(Failure::input(NoSuchStep { recipe: plan.recipe.clone(), step: args.step, known }));
    };
    let store = args.places.open()?;
    let fetcher = args.places.fetcher(&store);
    let toolchain = Toolchain::ready(chosen.target, &store, &fetcher, console).map_err(Failure::machine)?;
    let workshop = Workshop {
        store: &store,
        fetcher: &fetcher,
        toolchain: &toolchain,
        remote: None,
        reporter: console,
        recipe: &chosen.recipe.file,
        jobs: 1,
    };
    console.say("Shell", &format!("{} of {}", step.id, plan.recipe));
    let code = local::shell(&plan, step, &workshop).map_err(Failure::work)?;
    Ok(if code == 0 { Outcome::Done } else { Outcome::Objected })
}
