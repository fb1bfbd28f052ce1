//! `phplayer lock`: writes exact versions and digests beside the recipes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::lockfile::Lockfile;
use crate::plan;

use super::chosen::Chosen;

/// Write phplayer.lock: exact versions that never move by themselves
///
/// What is locked stays; what the recipes gained is added. All recipes of a folder share one lock.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer lock recipes/*.toml
  phplayer lock --upgrade        move everything to the newest known version
  phplayer lock --check          fail if the lock is not complete: for pipelines")]
pub struct Args {
    /// Recipes [default: phplayer.toml, or the only one in recipes/]
    pub recipes: Vec<PathBuf>,
    /// Move to the newest known versions
    #[arg(long, conflicts_with = "check")]
    pub upgrade: bool,
    /// Change nothing; end with 1 if something would change
    #[arg(long)]
    pub check: bool,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let all = Chosen::all(&args.recipes, None)?;
    let files: BTreeSet<PathBuf> = all.iter().map(|chosen| Lockfile::path_beside(&chosen.recipe.file)).collect();
    let mut outcome = Outcome::Done;
    for file in files {
        let mut lock: Option<Lockfile> = None;
        let mut before: Option<Lockfile> = None;
        for chosen in all.iter().filter(|chosen| Lockfile::path_beside(&chosen.recipe.file) == file) {
            before = chosen.lock.clone();
            let old = lock.as_ref().or(chosen.lock.as_ref());
            lock = Some(plan::lock(&chosen.recipe, &chosen.catalogue, old, args.upgrade).map_err(Failure::input)?);
        }
        let Some(lock) = lock else { continue };
        for (name, locked) in &lock.locked {
            let old = before.as_ref().and_then(|before| before.locked.get(name));
            match old {
                None => console.say("Lock", &format!("{name} {}", locked.version)),
                Some(old) if old != locked => {
                    console.say("Move", &format!("{name} {} to {}", old.version, locked.version))
                }
                Some(_) => {}
            }
        }
        if before.as_ref() == Some(&lock) {
            console.say("Same", &file.display().to_string());
        } else if args.check {
            console.warn(&format!("{} is not complete: `phplayer lock` writes it", file.display()));
            outcome = Outcome::Objected;
        } else {
            lock.write(&file).map_err(Failure::work)?;
            console.say("Wrote", &file.display().to_string());
        }
    }
    Ok(outcome)
}
