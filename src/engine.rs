//! What runs a plan's steps. The local engine needs no container and no root.

pub mod exchange;
pub mod local;

use std::path::PathBuf;
use std::time::Duration;

use crate::archive::ArchiveError;
use crate::plan::StepId;
use crate::process::ProcessError;
use crate::source::SourceError;
use crate::store::StoreError;
use crate::toolchain::ToolchainError;

/// A finished install root: exists only when every step succeeded.
#[derive(Clone, Debug)]
pub struct Tree {
    pub root: PathBuf,
    /// Steps that were run for it; the others were in the store.
    pub ran: Vec<(StepId, Duration)>,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum EngineError {
    #[error("{step} failed\n\n{}\n", shown(last))]
    #[diagnostic(help("the whole log: {}\nto look around in its sandbox: phplayer shell {} {step}", log.display(), recipe.display()))]
    Step { step: StepId, recipe: PathBuf, log: PathBuf, last: Vec<String> },
    #[error("{step} could not be run")]
    #[diagnostic(help("`phplayer doctor` says what this machine lacks"))]
    NotRun {
        step: StepId,
        #[source]
        cause: ProcessError,
    },
    #[error("interrupted; what was finished stays in the store")]
    Interrupted,
    #[error("cannot unpack {name}")]
    #[diagnostic(help(
        "the file has the right digest, so this is about the definition or about phplayer: please report it"
    ))]
    Unpack {
        name: String,
        #[source]
        cause: ArchiveError,
    },
    #[error("cannot share out the jobs")]
    #[diagnostic(help("a pipe could not be made: look at `ulimit -n`"))]
    Jobs(#[source] std::io::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Toolchain(#[from] ToolchainError),
}

fn shown(last: &[String]) -> String {
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
