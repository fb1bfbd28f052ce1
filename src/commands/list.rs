//! `phplayer list`: what can be put into a recipe.

use serde_json::json;

use crate::catalogue::Catalogue;
use crate::console::Console;
use crate::failure::{Failure, Outcome};

/// List what this phplayer knows: extensions, libraries, PHP releases
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer list extensions
  phplayer list php --format json")]
pub struct Args {
    #[arg(default_value = "extensions")]
    pub what: What,
    /// How to answer
    #[arg(long, default_value = "text")]
    pub format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum What {
    Extensions,
    Libraries,
    Php,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    // Definitions beside the recipe count too: here that is the current folder.
    let catalogue = Catalogue::beside(std::path::Path::new("phplayer.toml")).map_err(Failure::input)?;
    let rows: Vec<[String; 3]> = match args.what {
        What::Extensions => catalogue
            .extensions
            .values()
            .map(|known| {
                let version = known.releases.first().map_or("with PHP", |release| release.version.as_str());
                [known.name.clone(), version.to_owned(), known.summary.clone()]
            })
            .collect(),
        What::Libraries => catalogue
            .libraries
            .values()
            .map(|known| {
                let version = known.releases.first().map_or("", |release| release.version.as_str());
                [known.name.clone(), version.to_owned(), known.license.clone()]
            })
            .collect(),
        What::Php => catalogue
            .php
            .values()
            .flat_map(|series| {
                series
                    .releases
                    .iter()
                    .map(|release| [series.series.clone(), release.version.clone(), series.license.clone()])
            })
            .collect(),
    };
    match args.format {
        Format::Text => {
            let text: String =
                rows.iter().map(|[name, version, note]| format!("{name:<14} {version:<10} {note}\n")).collect();
            console.data(&text);
        }
        Format::Json => {
            let list: Vec<_> = rows
                .iter()
                .map(|[name, version, note]| json!({ "name": name, "version": version, "note": note }))
                .collect();
            console.data(&serde_json::to_string_pretty(&list).expect("strings always serialise"));
        }
    }
    Ok(Outcome::Done)
}
