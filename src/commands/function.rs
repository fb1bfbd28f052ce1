//! The function that `invoke`, `serve` and `bench` run: its options, and how the emulator's errors end a command.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use miette::Diagnostic;

use crate::emulator::{EmulatorError, Function, Initialization, function};
use crate::failure::Failure;
use crate::target::Arch;

/// The function that `invoke`, `serve` and `bench` run.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Function")]
pub struct FunctionArgs {
    /// A layer's zip; repeat for several, the later wins [default: what is in out/]
    #[arg(long = "layer", value_name = "ZIP")]
    layers: Vec<PathBuf>,

    /// The function's folder, which becomes /var/task
    #[arg(long, value_name = "DIR", default_value = ".")]
    task: PathBuf,

    /// The function's handler, as it is configured on Lambda
    #[arg(long, value_name = "H")]
    handler: String,

    /// Seconds that an event may take
    #[arg(long, value_name = "S", default_value = "28", value_parser = clap::value_parser!(u64).range(1..=900))]
    timeout: u64,

    /// The function's memory in MB
    #[arg(long, value_name = "MB", default_value = "1024", value_parser = clap::value_parser!(u32).range(128..=10_240))]
    memory: u32,

    /// An environment variable, AWS_LAMBDA_LOG_FORMAT and the like too; without a value it is taken from here
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// How the runtime treats events (PHPLAYER_MODE) [default: what the handler is]
    #[arg(long, value_enum)]
    mode: Option<Mode>,

    /// Run it with SnapStart: initialised, kept at /runtime/restore/next, restored
    #[arg(long)]
    snap_start: bool,

    /// The function's name
    #[arg(long, value_name = "NAME", default_value = "function")]
    name: String,

    /// The region that it believes to be in
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,
}

/// PHPLAYER_MODE.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// Every event is an HTTP request, served by php-fpm
    Http,
    /// The handler is a PHP function
    Function,
    /// Every event is a command line
    Console,
}

/// A variable was to be taken over from here, and is not here.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("`{name}` is not set here, so its value cannot be taken over")]
#[diagnostic(help("give it: `--env {name}=VALUE`"))]
pub struct NotSet {
    name: String,
}

impl FunctionArgs {
    pub fn function(&self) -> Result<Function, Failure> {
        let mut env = BTreeMap::new();
        for given in &self.env {
            let (name, value) = match given.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let missing = || Failure::input(NotSet { name: given.clone() });
                    (given.as_str(), std::env::var(given).map_err(|_| missing())?)
                }
            };
            env.insert(name.to_owned(), value);
        }
        if let Some(mode) = self.mode.and_then(|mode| mode.to_possible_value()) {
            env.insert("PHPLAYER_MODE".into(), mode.get_name().to_owned());
        }
        let layers = match self.layers.as_slice() {
            [] => function::built_layers(Path::new("out"), Arch::host()).map_err(failure)?,
            given => given.to_vec(),
        };
        Ok(Function {
            layers,
            task: self.task.clone(),
            handler: self.handler.clone(),
            timeout: Duration::from_secs(self.timeout),
            memory_mb: self.memory,
            name: self.name.clone(),
            region: self.region.clone(),
            initialization: if self.snap_start { Initialization::SnapStart } else { Initialization::OnDemand },
            env,
        })
    }
}

/// Sorts the emulator's errors by who can mend them.
pub fn failure(error: EmulatorError) -> Failure {
    match error {
        EmulatorError::NoBubblewrap | EmulatorError::SandboxRefused { .. } => Failure::machine(error),
        EmulatorError::Interrupted | EmulatorError::Io { .. } => Failure::work(error),
        _ => Failure::input(error),
    }
}

/// The log goes to stderr as it comes.
pub fn log_to_stderr(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
