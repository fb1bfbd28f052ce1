//! What runs a plan's steps: this machine's sandboxes, or a container builder.

pub mod choice;
pub mod container;
pub mod exchange;
pub mod local;
mod sources;

use std::path::PathBuf;
use std::time::Duration;

use crate::archive::ArchiveError;
use crate::plan::StepId;
use crate::process::ProcessError;
use crate::source::SourceError;
use crate::store::StoreError;
use crate::target::Arch;
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
    #[error("{step} failed\n\n{}\n", shown(last))]
    #[diagnostic(help("the whole log: {}\nto look around in its container: phplayer shell --engine container {} {step}", log.display(), recipe.display()))]
    Stage { step: StepId, recipe: PathBuf, log: PathBuf, last: Vec<String> },
    #[error("the base {base} lacks {tools}")]
    #[diagnostic(help("{image} does not have it: add a command that installs it to `setup` in bases/{base}.toml"))]
    BaseLacks { base: String, image: String, tools: String },
    #[error("{image} could not be set up\n\n{}\n", shown(last))]
    #[diagnostic(help("`setup` of the base's definition fails; it needs the network. The whole log: {}", log.display()))]
    SetUp { image: String, log: PathBuf, last: Vec<String> },
    #[error("the base image {image} cannot be had\n\n{}\n", shown(last))]
    #[diagnostic(help("{}", if *pinned {
        "the registry must have the digest that phplayer.lock names: look at it, or remove its `base:` entry and run `phplayer lock --engine container`"
    } else {
        "the builder must reach the image's registry, or have the image already"
    }))]
    NoImage { image: String, pinned: bool, last: Vec<String> },
    #[error("{builder} cannot run programs of {arch}\n\n{}\n", shown(last))]
    #[diagnostic(help(
        "name one on such a machine, of `docker buildx create` or `docker context create`: --builder {arch}=NAME\n\
         or let this one emulate them: apt-get install qemu-user-static binfmt-support, where its daemon runs\n\
         or compile without a container, which needs no emulation: --engine local"
    ))]
    Foreign { builder: String, arch: Arch, last: Vec<String> },
    #[error("{builder} ended before its work was done\n\n{}\n", shown(last))]
    #[diagnostic(help("what was finished is in the builder's cache: see that it runs, then build again. The whole log: {}", log.display()))]
    BuilderDied { builder: String, log: PathBuf, last: Vec<String> },
    #[error("{builder} could not be run")]
    #[diagnostic(help("`phplayer doctor` says which builders answer"))]
    BuilderNotRun {
        builder: String,
        #[source]
        cause: ProcessError,
    },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Builder(#[from] container::builder::BuilderError),
    #[error("the sources cannot be laid out in {}", folder.display())]
    #[diagnostic(help("look at that folder's permissions and at the free space, or name another one"))]
    Context {
        folder: PathBuf,
        #[source]
        cause: std::io::Error,
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
