//! `phplayer generate`: completions, man pages and schemas, all from the one source of each.

use std::path::PathBuf;

use clap_complete::Shell;

use crate::audit::Reports;
use crate::bench::Report;
use crate::catalogue::{BaseImage, Extension, Library, PhpSeries};
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::layer::manifest::Manifest;
use crate::plan::Plan;
use crate::recipe;

/// Print completions or a JSON schema, or write man pages
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer generate completions bash > /etc/bash_completion.d/phplayer
  phplayer generate man --into /usr/local/share/man/man1
  phplayer generate schema recipe")]
pub struct Args {
    #[command(subcommand)]
    pub what: What,
}

#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Print a completion script
    Completions { shell: Shell },
    /// Write one man page a command
    Man {
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
    },
    /// Print the JSON schema of a file or an answer
    Schema { of: Of },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Of {
    Recipe,
    Extension,
    Library,
    Base,
    Php,
    Plan,
    Audit,
    Manifest,
    Bench,
}

/// The folder for the pages cannot be written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write man pages into {}", dir.display())]
#[diagnostic(help("name a folder that you may write to with --into"))]
struct Unwritable {
    dir: PathBuf,
    #[source]
    cause: std::io::Error,
}

/// `command` is the whole command line, which only `cli` knows.
pub fn run(args: Args, mut command: clap::Command, console: &Console) -> Result<Outcome, Failure> {
    match args.what {
        What::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "phplayer", &mut script);
            console.data(&String::from_utf8_lossy(&script));
        }
        What::Man { into } => {
            fs_err::create_dir_all(&into)
                .and_then(|()| clap_mangen::generate_to(command, &into))
                .map_err(|cause| Failure::work(Unwritable { dir: into.clone(), cause }))?;
            console.say("Wrote", &into.display().to_string());
        }
        What::Schema { of } => console.data(&schema(of)),
    }
    Ok(Outcome::Done)
}

fn schema(of: Of) -> String {
    let schema = match of {
        Of::Recipe => recipe::schema(),
        Of::Extension => schemars::schema_for!(Extension),
        Of::Library => schemars::schema_for!(Library),
        Of::Base => schemars::schema_for!(BaseImage),
        Of::Php => schemars::schema_for!(PhpSeries),
        Of::Plan => schemars::schema_for!(Vec<Plan>),
        Of::Manifest => schemars::schema_for!(Manifest),
        Of::Audit => return Reports::schema(),
        Of::Bench => return Report::schema(),
    };
    serde_json::to_string_pretty(&schema).expect("a schema is plain JSON")
}
