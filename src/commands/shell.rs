//! `phplayer shell`: a person in a step's sandbox.

use std::path::PathBuf;

use crate::console::Console;
use crate::engine::choice::{self, Choice, NamedBuilder};
use crate::engine::container::builder::Builder;
use crate::engine::container::{self, Site};
use crate::engine::local::{self, Workshop};
use crate::failure::{Failure, Outcome};
use crate::plan::StepId;
use crate::recipe::Engine;
use crate::toolchain::Toolchain;

use super::chosen::{Bases, Chosen, Places};

/// Open a shell in a step's sandbox, with what its last failure left
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer shell recipes/php-84.toml ext:mysqli
  phplayer shell --engine container recipes/php-84.toml lib:openssl   the same in the base image
  sh -x .phplayer-step        inside: run the step's commands, each shown")]
pub struct Args {
    pub recipe: PathBuf,
    /// For example lib:openssl, php:8.4.24, ext:mysqli; `phplayer plan` lists them
    pub step: StepId,
    /// Enter what this engine runs the step in, whatever the recipe says
    #[arg(long)]
    pub engine: Option<Engine>,
    /// As of `phplayer build`
    #[arg(long, value_name = "[ARCH=]NAME")]
    pub builder: Vec<NamedBuilder>,
    #[command(flatten)]
    pub bases: Bases,
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
    let chosen = Chosen::one(&args.recipe, args.bases)?;
    let wanted = args.engine.unwrap_or(chosen.recipe.engine);
    let named = NamedBuilder::of(&args.builder, chosen.target.arch);
    let choice = choice::choose(wanted, chosen.target, named).map_err(Failure::machine)?;
    let plan = match choice {
        Choice::Local => chosen.local_plan()?,
        Choice::Container(_) => chosen.container_plan()?,
    };
    let Some(step) = plan.step(&args.step) else {
        let known: Vec<String> = plan.steps.iter().map(|step| step.id.to_string()).collect();
        let known = known.join(" ");
        return Err(Failure::input(NoSuchStep { recipe: plan.recipe.clone(), step: args.step, known }));
    };
    let store = args.places.open()?;
    let fetcher = args.places.fetcher(&store);
    if let Choice::Container(found) = choice {
        let builder = found.map_or_else(|| Builder::find(named), Ok).map_err(Failure::machine)?;
        let (image, recipe) = (chosen.pinned_image(), chosen.recipe.file.as_path());
        let site =
            Site { store: &store, fetcher: &fetcher, reporter: console, builder: &builder, image: &image, recipe };
        console.say("Shell", &format!("{} of {}, by {builder}", step.id, plan.recipe));
        let code = container::shell(&plan, step, &site).map_err(Failure::work)?;
        return Ok(if code == 0 { Outcome::Done } else { Outcome::Objected });
    }
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
