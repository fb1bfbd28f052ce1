//! The command line: what can be said, and who answers.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    audit, bench, build, doctor, fetch, generate, invoke, list, lock, new, plan, publish, serve, shell,
};
use crate::console::{Console, Talk};
use crate::failure::{Failure, Outcome};

/// Build, prove, run and publish PHP layers for AWS Lambda
#[derive(Debug, Parser)]
#[command(
    name = "phplayer",
    version,
    max_term_width = 110,
    after_help = "Start with:
  phplayer new shop                        write a recipe
  phplayer build --setup shop/phplayer.toml   install what is missing, compile, pack and audit
  phplayer serve --task app --handler index.php   run it here as Lambda would
  phplayer publish --region eu-west-1      publish what is in out/"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Args)]
pub struct Global {
    /// Say more
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Say nothing but answers and failures
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print plain lines, no moving ones
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Work in this folder
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    New(new::Args),
    Build(build::Args),
    Plan(plan::Args),
    Fetch(fetch::Args),
    Lock(lock::Args),
    Shell(shell::Args),
    Audit(audit::Args),
    Invoke(invoke::Args),
    Serve(serve::Args),
    Bench(bench::Args),
    Publish(publish::Args),
    List(list::Args),
    Doctor(doctor::Args),
    Generate(generate::Args),
}

impl Cli {
    pub fn console(&self) -> Console {
        let talk = match (self.global.quiet, self.global.verbose) {
            (true, _) => Talk::Quiet,
            (_, true) => Talk::Verbose,
            _ => Talk::Normal,
        };
        Console::new(talk, !self.global.no_progress)
    }

    pub fn run(self, console: &Console) -> Result<Outcome, Failure> {
        match self.command {
            Command::New(args) => new::run(args, console),
            Command::Build(args) => build::run(args, console),
            Command::Plan(args) => plan::run(args, console),
            Command::Fetch(args) => fetch::run(args, console),
            Command::Lock(args) => lock::run(args, console),
            Command::Shell(args) => shell::run(args, console),
            Command::Audit(args) => audit::run(args, console),
            Command::Invoke(args) => invoke::run(args, console),
            Command::Serve(args) => serve::run(args, console),
            Command::Bench(args) => bench::run(args, console),
            Command::Publish(args) => publish::run(args, console),
            Command::List(args) => list::run(args, console),
            Command::Doctor(args) => doctor::run(args, console),
            Command::Generate(args) => generate::run(args, <Self as clap::CommandFactory>::command(), console),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_argument_is_declared_once_and_well() {
        Cli::command().debug_assert();
    }
}
