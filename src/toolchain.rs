//! The local engine's compiler: the host's gcc for C against zig's glibc headers, zig as the linker.
//!
//! zig pins the glibc version that the result asks for; gcc gives PHP up to 8.4 its fast virtual machine, which clang
//! cannot compile. Both facts were measured; ARCHITECTURE.md has the figures.

pub mod cc;
mod gcc;
mod tools;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::archive;
use crate::digest::Digest;
use crate::process;
use crate::progress::Reporter;
use crate::source::{Alternative, Fetcher, Pinned, SourceError};
use crate::store::{Store, StoreError};
use crate::target::{Arch, Target};

use gcc::Gcc;

pub use tools::{cross, lacking, missing, package_of};

/// The one zig that is used. Another version means other work-arounds.
const ZIG_VERSION: &str = "0.15.2";

/// A compiler and linker that stand ready.
#[derive(Clone, Debug)]
pub struct Toolchain {
    target: Target,
    gcc: Gcc,
    zig: PathBuf,
    bwrap: PathBuf,
    /// This program itself: inside the sandbox it is `cc`.
    phplayer: PathBuf,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ToolchainError {
    #[error("this machine lacks {}", tools.join(", "))]
    #[diagnostic(help("{}", way_out(packages)))]
    Missing { tools: Vec<String>, packages: Vec<String> },
    #[error("gcc {version} is too old: 12 or newer is needed for -mno-direct-extern-access")]
    #[diagnostic(help("install gcc 12 or newer (Debian 12 and later have it), or build with `--engine container`"))]
    OldGcc { version: String },
    #[error("the local engine runs on Linux only")]
    #[diagnostic(help("build with `--engine container`"))]
    NotLinux,
    #[error("the local engine on {host} does not build for {wanted}")]
    #[diagnostic(help("build on a {wanted} machine; from x86_64 it builds for both"))]
    OtherArch { host: Arch, wanted: Arch },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error("zig cannot be unpacked: {0}")]
    #[diagnostic(help("remove its folder from the store's sources and try again"))]
    Unpack(#[from] archive::ArchiveError),
    #[error("this program's own file cannot be found")]
    #[diagnostic(help("it was moved or replaced while it ran: start it again"))]
    NoSelf(#[source] std::io::Error),
}

fn way_out(packages: &[String]) -> String {
    format!("`phplayer build --setup` installs it, or by hand: apt-get install {}", packages.join(" "))
}

impl Toolchain {
    /// What it will be called, asked of the machine alone: no zig needs to be there for a plan.
    pub fn identity(target: Target) -> Result<String, ToolchainError> {
        Ok(Gcc::find(target)?.identity(target))
    }

    /// Finds gcc, and gets zig into the store.
    pub fn ready(
        target: Target,
        store: &Store,
        fetcher: &Fetcher,
        reporter: &dyn Reporter,
    ) -> Result<Self, ToolchainError> {
        let gcc = Gcc::find(target)?;
        let zig = zig(store, fetcher, reporter)?;
        let bwrap = process::find("bwrap").ok_or_else(|| missing(&["bwrap".to_owned()]))?;
        let phplayer = std::env::current_exe().map_err(ToolchainError::NoSelf)?;
        Ok(Self { target, gcc, zig, bwrap, phplayer })
    }

    pub fn bwrap(&self) -> &Path {
        &self.bwrap
    }

    /// What the sandbox sees of it, as pairs of a host path and a sandbox path.
    pub fn mounts(&self) -> Vec<(PathBuf, &'static str)> {
        vec![(self.phplayer.clone(), "/toolchain/phplayer"), (self.zig.clone(), "/toolchain/zig")]
    }

    /// Names under which the sandbox finds this program as a compiler.
    pub fn names(&self) -> &'static [&'static str] {
        &["cc", "c++"]
    }

    /// Variables of every step. The cache of zig's own parts is shared, that of single links is not kept.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut all = vec![
            ("PATH", "/toolchain/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".into()),
            ("CC", "/toolchain/bin/cc".into()),
            ("CXX", "/toolchain/bin/c++".into()),
            ("ZIG_GLOBAL_CACHE_DIR", "/toolchain/cache".into()),
            ("ZIG_LOCAL_CACHE_DIR", "/tmp/zig".into()),
        ];
        all.extend(self.gcc.environment(self.target));
        all
    }
}

/// zig as a source: upstream's archive, or the same files as a wheel of the Python registry.
pub fn zig_pinned() -> Pinned {
    let digest = |hex: &str| hex.parse::<Digest>().expect("a constant of 64 hexadecimal digits, held by a test");
    let (archive, wheel) = match Arch::host() {
        Arch::X86_64 => (
            "02aa270f183da276e5b5920b1dac44a63f1a49e55050ebde3aecc9eb82f93239",
            "806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130",
        ),
        Arch::Arm64 => (
            "958ed7d1e00d0ea76590d27666efbf7a932281b3d7ba0c6b01b0ff26498f667f",
            "edc0aa60ec964a4cf462d40f68d7de242ddf37fd9a80f2afaee6397059463230",
        ),
    };
    let cpu = Arch::host().cpu();
    let archive = Alternative {
        sha256: digest(archive),
        urls: vec![format!("https://ziglang.org/download/{ZIG_VERSION}/zig-{cpu}-linux-{ZIG_VERSION}.tar.xz")],
        debian: None,
        python: None,
        signature: None,
    };
    let wheel = Alternative {
        sha256: digest(wheel),
        urls: Vec::new(),
        debian: None,
        python: Some(format!("ziglang=={ZIG_VERSION}")),
        signature: None,
    };
    Pinned { name: "zig".to_owned(), version: ZIG_VERSION.to_owned(), alternatives: vec![archive, wheel] }
}

/// Whether zig stands unpacked in the store, so that nothing need be asked for it.
pub fn has_zig(store: &Store) -> bool {
    zig_pinned().alternatives.iter().any(|form| store.source_tree(&form.sha256).is_some())
}

fn zig(store: &Store, fetcher: &Fetcher, reporter: &dyn Reporter) -> Result<PathBuf, ToolchainError> {
    let pinned = zig_pinned();
    let unpacked = pinned.alternatives.iter().find_map(|form| store.source_tree(&form.sha256));
    let tree = match unpacked {
        Some(tree) => tree,
        None => {
            let fetched = fetcher.fetch(&pinned, reporter)?;
            store.make_source_tree(&fetched.sha256, reporter, |into| -> Result<(), ToolchainError> {
                Ok(archive::unpack(&fetched.path, into, 1)?)
            })?
        }
    };
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zigs_digests_are_digests() {
        assert!(!zig_pinned().alternatives.is_empty());
    }
}
