//! `phplayer bench`: what a function costs, beside what PHP alone and an empty runtime cost.

use std::io;
use std::path::PathBuf;

use clap::ValueEnum;
use fs_err as fs;
use miette::Diagnostic;

use super::event::{self, EventError, Given};
use super::function::{self, FunctionArgs};
use crate::bench::{self, BenchError, Case, Setting, Work};
use crate::console::Console;
use crate::emulator::{Function, Initialization};
use crate::failure::{Failure, Outcome};
use crate::progress::{Event, Reporter};

/// Measure cold starts, warm events and memory of the packed layers
///
/// Each measurement is made in turn with two limits, so that a busy machine slows them alike: the same php-fpm called
/// directly, and a runtime that does nothing. The table goes to stdout, progress to stderr.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer bench --handler public/index.php
  phplayer bench --handler index.php --http 'POST /form' --body 1000 --html bench.html
  phplayer bench --handler index --event '{\"id\": 1}' --env PHPLAYER_ISOLATE=process
  phplayer bench --handler index.php --layer runtime.zip --task app --format json | jq .figures
  phplayer bench --handler index.php --soak 1000000 --http 'GET /' --http 'GET /missing'")]
pub struct Args {
    /// The event: a file or inline JSON [default: `GET /` for a site, else {}]
    #[arg(long, value_name = "JSON|FILE", conflicts_with_all = ["http", "body"])]
    event: Vec<String>,

    /// Make the event of an HTTP request (API Gateway, payload 2.0)
    #[arg(long, value_name = "METHOD PATH")]
    http: Vec<String>,

    /// Give the request a form of so many bytes
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=4_500_000))]
    body: u32,

    /// How many warm events are measured
    #[arg(long, value_name = "N", default_value = "1000")]
    reps: usize,

    /// How many cold starts are measured
    #[arg(long, value_name = "N", default_value = "50")]
    cold_reps: usize,

    /// Send so many events through one instance and watch its memory; `--event` and `--http` may be repeated then
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["reps", "cold_reps"])]
    soak: Option<u64>,

    /// How the result is shown
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    /// Also write it as a page with charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    #[command(flatten)]
    function: FunctionArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Tables for people
    Text,
    /// One object (`phplayer generate schema bench`)
    Json,
}

/// What can be wrong with the words of the command line.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum InputError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Event(#[from] EventError),

    #[error("{} holds no JSON", file.display())]
    #[diagnostic(help("Lambda takes any JSON value; a string needs its quotes"))]
    NotJson { file: PathBuf, source: serde_json::Error },

    #[error("{count} events are given, and only one can be compared")]
    #[diagnostic(help("measure them one by one, or send them in turn with `--soak N`"))]
    SeveralCases { count: usize },

    #[error("a restore from a snapshot cannot be measured")]
    #[diagnostic(help("leave out --snap-start; `phplayer invoke --snap-start` goes through one"))]
    SnapStart,

    #[error("there is nothing to measure: both --reps and --cold-reps are 0")]
    #[diagnostic(help("leave one of them out"))]
    NoRepetitions,
}

/// The page with the charts cannot be written.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot write the page")]
#[diagnostic(help("name a file that you may write to with --html"))]
struct PageNotWritten {
    source: io::Error,
}

/// Where phplayer's own executable is, cannot be told.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("phplayer cannot find its own executable, which takes a part in the sandboxes")]
#[diagnostic(help("is /proc mounted?"))]
struct NoExecutable {
    source: io::Error,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let function = args.function.function()?;
    let work = args.work(&function).map_err(Failure::input)?;
    if function.initialization == Initialization::SnapStart {
        return Err(Failure::input(InputError::SnapStart));
    }
    let executable = std::env::current_exe().map_err(|source| Failure::machine(NoExecutable { source }))?;
    let report = bench::run(&Setting { function, executable, work }, console).map_err(failure)?;
    if let Some(file) = &args.html {
        fs::write(file, report.html()).map_err(|source| Failure::work(PageNotWritten { source }))?;
        console.event(Event::Done { verb: "Wrote", text: file.display().to_string() });
    }
    console.data(&match args.format {
        Format::Text => report.text(),
        Format::Json => report.json(),
    });
    Ok(Outcome::Done)
}

fn failure(error: BenchError) -> Failure {
    match error {
        BenchError::Emulator(error) => function::failure(error),
        error => Failure::work(error),
    }
}

impl Args {
    fn work(&self, function: &Function) -> Result<Work, InputError> {
        let mut cases = Vec::new();
        for event in &self.event {
            cases.push(read(event)?);
        }
        for request in &self.http {
            cases.push(self.request(request)?);
        }
        if cases.is_empty() {
            cases.push(if self.body > 0 { self.request("POST /")? } else { Case::usual(function) });
        }
        match (self.soak, cases.len()) {
            (Some(count), _) => Ok(Work::Soak { cases, count }),
            (None, 1) if self.reps == 0 && self.cold_reps == 0 => Err(InputError::NoRepetitions),
            (None, 1) => Ok(Work::Compare { case: cases.remove(0), cold: self.cold_reps, warm: self.reps }),
            (None, count) => Err(InputError::SeveralCases { count }),
        }
    }

    fn request(&self, request: &str) -> Result<Case, InputError> {
        let (method, target) = event::http(request)?;
        Ok(Case::http(method, target, self.body as usize))
    }
}

fn read(event: &str) -> Result<Case, InputError> {
    let (file, content) = match Given::read(event)? {
        Given::Inline(event) => return Ok(Case::event(event, None)),
        Given::File { file, content } => (file, content),
    };
    match serde_json::from_slice::<serde::de::IgnoredAny>(&content) {
        Ok(_) => {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
            Ok(Case::event(content, name.as_deref()))
        }
        Err(source) => Err(InputError::NotJson { file, source }),
    }
}
