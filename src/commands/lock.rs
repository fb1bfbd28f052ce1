//! `phplayer lock`: writes exact versions and digests beside the recipes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::console::Console;
use crate::engine::container::builder::{self, Builder, BuilderError};
use crate::failure::{Failure, Outcome};
use crate::lockfile::{Locked, Lockfile};
use crate::plan;
use crate::process::ProcessError;
use crate::recipe::Engine;

use super::chosen::{Bases, Chosen};

/// Write phplayer.lock: exact versions that never move by themselves
///
/// What is locked stays; what the recipes gained is added. All recipes of a folder share one lock.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer lock recipes/*.toml
  phplayer lock --upgrade        move everything to the newest known version
  phplayer lock --engine container   pin the base images by digest too; so does `engine = \"container\"` in a recipe
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
    /// With `container`, pin the base images too: a builder is asked for their digests
    #[arg(long)]
    pub engine: Option<Engine>,
    /// The builder to ask: buildx, docker, podman, nerdctl or finch
    #[arg(long, value_name = "NAME")]
    pub builder: Option<String>,
    #[command(flatten)]
    pub bases: Bases,
}

/// The registry's digest of a base image could not be had.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the digest of {image} cannot be had: {why}")]
#[diagnostic(help(
    "the builder must reach the image's registry; `phplayer lock --engine local` leaves base images out"
))]
struct NoDigest {
    image: String,
    why: String,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let all = Chosen::all(&args.recipes, None, args.bases)?;
    let files: BTreeSet<PathBuf> = all.iter().map(|chosen| Lockfile::path_beside(&chosen.recipe.file)).collect();
    let mut outcome = Outcome::Done;
    for file in files {
        let mut lock: Option<Lockfile> = None;
        let mut before: Option<Lockfile> = None;
        let mut unpinned = BTreeSet::new();
        for chosen in all.iter().filter(|chosen| Lockfile::path_beside(&chosen.recipe.file) == file) {
            before = chosen.lock.clone();
            let old = lock.as_ref().or(chosen.lock.as_ref());
            let mut new = plan::lock(&chosen.recipe, &chosen.catalogue, old, args.upgrade).map_err(Failure::input)?;
            if args.engine.unwrap_or(chosen.recipe.engine) == Engine::Container {
                match args.check {
                    false => pin_base(&args, chosen, &mut new, console)?,
                    true if pins_base(chosen, &new) => {}
                    true => {
                        unpinned.insert(&chosen.image.image);
                    }
                }
            }
            lock = Some(new);
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
        if before.as_ref() == Some(&lock) && unpinned.is_empty() {
            console.say("Same", &file.display().to_string());
        } else if args.check {
            for image in &unpinned {
                let leave = "`--engine local` does not ask for it";
                console.warn(&format!("{} has no digest of the base image {image}; {leave}", file.display()));
            }
            let engine = if unpinned.is_empty() { "" } else { " --engine container" };
            console.warn(&format!("{} is not complete: `phplayer lock{engine}` writes it", file.display()));
            outcome = Outcome::Objected;
        } else {
            lock.write(&file).map_err(Failure::work)?;
            console.say("Wrote", &file.display().to_string());
        }
    }
    Ok(outcome)
}

/// Whether a lock holds the digest of the recipe's base image, and not of an earlier one.
fn pins_base(chosen: &Chosen, lock: &Lockfile) -> bool {
    lock.locked.get(&chosen.image.lock_name()).is_some_and(|locked| locked.version == chosen.image.image)
}

/// Writes the digest of a base image into the lock. What is there stays unless the user upgrades.
fn pin_base(args: &Args, chosen: &Chosen, lock: &mut Lockfile, console: &Console) -> Result<(), Failure> {
    if pins_base(chosen, lock) && !args.upgrade {
        return Ok(());
    }
    let (name, image) = (chosen.image.lock_name(), &chosen.image.image);
    let builder = Builder::find(args.builder.as_deref()).map_err(Failure::machine)?;
    let scratch = tempfile::NamedTempFile::new().map_err(BuilderError::from).map_err(Failure::machine)?;
    let refused = |why: String| Failure::machine(NoDigest { image: image.clone(), why });
    let digest = match builder.digest(image, scratch.path()) {
        Ok(digest) => digest,
        Err(ProcessError::Failed { last, .. }) => {
            return Err(refused(builder::reason(&last).unwrap_or_default().to_owned()));
        }
        Err(error) => return Err(refused(error.to_string())),
    };
    match digest.as_deref().map(str::parse) {
        Some(Ok(digest)) => {
            lock.locked.insert(name, Locked { version: image.clone(), sha256: vec![digest] });
            Ok(())
        }
        Some(Err(_)) => Err(refused(format!("{builder} names one that is none"))),
        None => {
            console.warn(&format!("{image} comes from no registry, so it has no digest and stays unpinned"));
            Ok(())
        }
    }
}
