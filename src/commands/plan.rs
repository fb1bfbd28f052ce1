//! `phplayer plan`: every step, its key, and whether and why it must be built.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::console::Console;
use crate::engine::container::dockerfile::{self, Dialect, Start};
use crate::engine::container::{Image, bake};
use crate::failure::{Failure, Outcome};
use crate::plan::{Inputs, Plan, why};
use crate::store::Store;
use crate::target::Arch;

use super::chosen::{Bases, Chosen, Places};

/// Show what a build would do, and why
///
/// Reads the recipe, the lock and the store; changes nothing, and asks the network for nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer plan recipes/php-84.toml
  phplayer plan --format json | jq '.[].steps[].id'
  echo \"matrix=$(phplayer plan --format github recipes/*.toml)\" >> \"$GITHUB_OUTPUT\"
  phplayer plan --format dockerfile recipes/php-84.toml > Dockerfile
  phplayer plan --format bake recipes/*.toml > docker-bake.hcl")]
pub struct Args {
    /// Recipes [default: phplayer.toml, or the only one in recipes/]
    pub recipes: Vec<PathBuf>,
    /// Build for this architecture, whatever the recipe says
    #[arg(long)]
    pub arch: Option<Arch>,
    #[command(flatten)]
    pub bases: Bases,
    #[command(flatten)]
    pub places: Places,
    /// How to answer
    #[arg(long, default_value = "text")]
    pub format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
    /// A job matrix for a workflow: one job for each recipe and architecture
    Github,
    /// What the container engine gives its builder, for one recipe and architecture
    Dockerfile,
    /// A docker-bake.hcl for any number of recipes and architectures
    Bake,
}

/// A Dockerfile is for one plan.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("a Dockerfile is for one recipe and one architecture, and here are {count}")]
#[diagnostic(help("name one recipe, and one --arch; `--format bake` takes them all"))]
struct NotOne {
    count: usize,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let all = Chosen::all(&args.recipes, args.arch, args.bases)?;
    if let Format::Dockerfile | Format::Bake = args.format {
        let contained = |chosen: &Chosen| Ok((chosen.container_plan()?, chosen.pinned_image()));
        let plans: Vec<(Plan, Image)> = all.iter().map(contained).collect::<Result<_, Failure>>()?;
        console.data(&match (args.format, plans.as_slice()) {
            (Format::Bake, _) => bake::render(&plans),
            (_, [(plan, image)]) => dockerfile::render(plan, image, Dialect::BUILDKIT, Start::Base),
            (_, several) => return Err(Failure::input(NotOne { count: several.len() })),
        });
        return Ok(Outcome::Done);
    }
    let plans = || all.iter().map(Chosen::plan).collect::<Result<Vec<Plan>, _>>();
    match args.format {
        Format::Dockerfile | Format::Bake => {}
        // A matrix says what there is to build; what compiles it is the runners' matter.
        Format::Github => {
            all.iter().try_for_each(Chosen::check)?;
            console.data(&matrix(&all));
        }
        Format::Json => console.data(&serde_json::to_string_pretty(&plans()?).expect("plans are plain data")),
        Format::Text => {
            let plans = plans()?;
            // A store that was never made holds nothing: opening it would make it.
            let store = args.places.peek().map_err(Failure::machine)?;
            plans.iter().for_each(|plan| console.data(&text(plan, &store)));
        }
    }
    Ok(Outcome::Done)
}

/// One job of a workflow's matrix.
#[derive(Serialize)]
struct Job<'j> {
    recipe: &'j Path,
    arch: Arch,
    /// GitHub's own machine of that architecture: each compiles for itself.
    runner: &'static str,
    /// The folder in `out/`, too.
    name: String,
}

/// On one line, because `$GITHUB_OUTPUT` takes one line a value.
fn matrix(all: &[Chosen]) -> String {
    let jobs = all.iter().map(|chosen| Job {
        recipe: &chosen.recipe.file,
        arch: chosen.target.arch,
        runner: match chosen.target.arch {
            Arch::X86_64 => "ubuntu-24.04",
            Arch::Arm64 => "ubuntu-24.04-arm",
        },
        name: format!("{}-{}", chosen.recipe.name.get_ref(), chosen.target.arch),
    });
    serde_json::json!({ "include": jobs.collect::<Vec<_>>() }).to_string()
}

fn text(plan: &Plan, store: &Store) -> String {
    let earlier: Vec<Inputs> = store.kept_inputs();
    let mut text = format!("{}  PHP {}  {}\ntoolchain {}\n", plan.recipe, plan.php, plan.target, plan.toolchain);
    for step in &plan.steps {
        let state = if store.step(&step.key).is_some() {
            "in the store".to_owned()
        } else {
            let now = plan.inputs(step);
            let before = earlier.iter().find(|before| before.kind == now.kind && before.target == now.target);
            format!("build: {}", why(&now, before))
        };
        let version = step.sources.last().map(|mount| mount.pinned.version.as_str()).unwrap_or_default();
        text.push_str(&format!("  {:<18} {:<9} {}  {state}\n", step.id.to_string(), version, step.key.short()));
    }
    text
}
