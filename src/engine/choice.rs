//! Which engine builds: what the user says, or under `auto` the local one where it can serve.

use crate::process;
use crate::recipe;
use crate::target::Target;
use crate::toolchain::{Toolchain, ToolchainError};

use super::container::builder::{Builder, BuilderError};

/// The engine that is to build.
#[derive(Clone, Debug)]
pub enum Choice {
    Local,
    /// The builder, if it was asked already to find out whether it answers.
    Container(Option<Builder>),
}

/// Why the local engine cannot serve here.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    #[error("bubblewrap cannot make sandboxes here")]
    NoSandbox,
}

/// Whether the local engine can build for a target on this machine.
pub fn local_serves(target: Target) -> Result<(), Unfit> {
    Toolchain::identity(target)?;
    if can_isolate() { Ok(()) } else { Err(Unfit::NoSandbox) }
}

/// Having bubblewrap is not enough: some kernels and containers forbid what it does.
pub fn can_isolate() -> bool {
    let works = process::answer("bwrap", &["--unshare-all", "--ro-bind", "/", "/", "/bin/echo", "works"]);
    works.as_deref() == Some("works")
}

/// `builder` is what the user named; it means the container engine unless the user said `local`. Where neither engine can
/// serve, the local one is taken: it then says what it lacks, and how that is installed.
pub fn choose(wanted: recipe::Engine, target: Target, builder: Option<&str>) -> Result<Choice, BuilderError> {
    match wanted {
        recipe::Engine::Local => Ok(Choice::Local),
        recipe::Engine::Container => Ok(Choice::Container(None)),
        recipe::Engine::Auto if builder.is_some() => Ok(Choice::Container(None)),
        recipe::Engine::Auto if local_serves(target).is_ok() => Ok(Choice::Local),
        recipe::Engine::Auto => match Builder::find(None) {
            Ok(builder) => Ok(Choice::Container(Some(builder))),
            Err(BuilderError::None { .. }) => Ok(Choice::Local),
            Err(error) => Err(error),
        },
    }
}
