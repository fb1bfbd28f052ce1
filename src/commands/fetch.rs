//! `phplayer fetch`: everything a build needs from outside, so that it can then be built offline.

use std::path::PathBuf;

use crate::console::{self, Console};
use crate::failure::{Failure, Outcome};
use crate::toolchain;

use super::chosen::{Chosen, Places};

/// Fill the store, so that `build --offline` needs no network
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer fetch recipes/*.toml
  phplayer fetch --store /media/usb/store && phplayer build --offline --store /media/usb/store")]
pub struct Args {
    /// Recipes [default: phplayer.toml, or the only one in recipes/]
    pub recipes: Vec<PathBuf>,
    #[command(flatten)]
    pub places: Places,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let mut wanted = vec![toolchain::zig_pinned()];
    for chosen in Chosen::all(&args.recipes, None)? {
        for pinned in chosen.plan()?.sources() {
            if !wanted.contains(&pinned) {
                wanted.push(pinned);
            }
        }
    }
    let store = args.places.open()?;
    let fetched = args.places.fetcher(&store).fetch_all(&wanted, console).map_err(Failure::work)?;
    let size: u64 = fetched.iter().filter_map(|one| fs_err::metadata(&one.path).ok()).map(|facts| facts.len()).sum();
    let place = store.root().join("sources");
    console.say("Done", &format!("{} sources, {}, in {}", fetched.len(), console::size(size), place.display()));
    Ok(Outcome::Done)
}
