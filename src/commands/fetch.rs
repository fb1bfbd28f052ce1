//! `phplayer fetch`: everything a build needs from outside, so that it can then be built offline.

use std::path::PathBuf;

use crate::console::{self, Console};
use crate::engine::container::context;
use crate::failure::{Failure, Outcome};
use crate::plan::Plan;
use crate::recipe::Engine;
use crate::toolchain;

use super::chosen::{Bases, Chosen, Places};

/// Fill the store, so that `build --offline` needs no network
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer fetch recipes/*.toml
  phplayer fetch --context build && cd build && phplayer plan --format dockerfile ../phplayer.toml > Dockerfile
  phplayer fetch --store /media/usb/store && phplayer build --offline --store /media/usb/store")]
pub struct Args {
    /// Recipes [default: phplayer.toml, or the only one in recipes/]
    pub recipes: Vec<PathBuf>,
    /// Lay the sources out in this folder too, as `phplayer plan --format dockerfile` wants them
    #[arg(long, value_name = "DIR")]
    pub context: Option<PathBuf>,
    #[command(flatten)]
    pub bases: Bases,
    #[command(flatten)]
    pub places: Places,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let all = Chosen::all(&args.recipes, None, args.bases)?;
    // A base image has its own compiler.
    let local = all.iter().any(|chosen| chosen.recipe.engine != Engine::Container);
    let mut wanted: Vec<_> = local.then(toolchain::zig_pinned).into_iter().collect();
    // Else sources are the same for both engines; the container engine's plan asks nothing of this machine.
    let plans: Vec<Plan> = all.iter().map(Chosen::container_plan).collect::<Result<_, _>>()?;
    for pinned in plans.iter().flat_map(Plan::sources) {
        if !wanted.contains(&pinned) {
            wanted.push(pinned);
        }
    }
    let store = args.places.open()?;
    let fetched = args.places.fetcher(&store).fetch_all(&wanted, console).map_err(Failure::work)?;
    if let Some(folder) = &args.context {
        let fetcher = args.places.fetcher(&store);
        context::hand_out(&plans, folder, &store, &fetcher, console).map_err(Failure::work)?;
    }
    let size: u64 = fetched.iter().filter_map(|one| fs_err::metadata(&one.path).ok()).map(|facts| facts.len()).sum();
    let place = store.root().join("sources");
    console.say("Done", &format!("{} sources, {}, in {}", fetched.len(), console::size(size), place.display()));
    Ok(Outcome::Done)
}
