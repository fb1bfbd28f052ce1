//! Which engine builds, and by which builder: what the user says, or under `auto` the local engine where it can serve.

use std::str::FromStr;

use crate::process;
use crate::recipe;
use crate::target::{Arch, Target};
use crate::toolchain::{Toolchain, ToolchainError};

use super::container::builder::{Builder, BuilderError};

/// The engine that is to build.
#[derive(Clone, Debug)]
pub enum Choice {
    Local,
    /// The builder, if it was asked already to find out whether it answers.
    Container(Option<Builder>),
}

/// A builder that the user names, for one architecture or for all: `farm`, `arm64=graviton`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBuilder {
    arch: Option<Arch>,
    name: String,
}

impl NamedBuilder {
    /// The one for an architecture among several: what is said of it alone goes first, and the last word counts.
    pub fn of(named: &[Self], arch: Arch) -> Option<&str> {
        let last = |wanted: Option<Arch>| named.iter().rev().find(|one| one.arch == wanted);
        last(Some(arch)).or_else(|| last(None)).map(|one| one.name.as_str())
    }
}

impl FromStr for NamedBuilder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (arch, name) = match text.split_once('=') {
            Some((arch, name)) => {
                let known = Arch::ALL.into_iter().find(|one| one.name() == arch);
                let unknown = || format!("`{arch}` is no architecture of Lambda: there are x86_64 and arm64");
                (Some(known.ok_or_else(unknown)?), name)
            }
            None => (None, text),
        };
        if name.is_empty() { Err("it has no name".to_owned()) } else { Ok(Self { arch, name: name.to_owned() }) }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_architecture_has_its_builder() {
        let table: [(&[&str], Option<&str>, Option<&str>); 5] = [
            (&[], None, None),
            (&["farm"], Some("farm"), Some("farm")),
            (&["arm64=far"], None, Some("far")),
            (&["arm64=far", "docker"], Some("docker"), Some("far")),
            (&["docker", "arm64=far", "arm64=near"], Some("docker"), Some("near")),
        ];
        for (words, x86_64, arm64) in table {
            let named: Vec<NamedBuilder> = words.iter().map(|word| word.parse().expect("a builder")).collect();
            let of = |arch| NamedBuilder::of(&named, arch);
            assert_eq!((of(Arch::X86_64), of(Arch::Arm64)), (x86_64, arm64), "{words:?}");
        }
        for wrong in ["", "arm64=", "sparc=far", "=far"] {
            assert!(wrong.parse::<NamedBuilder>().is_err(), "{wrong}");
        }
    }
}
