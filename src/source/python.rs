//! The Python registry, through pip and its settings: the place from which machines behind a registry proxy get zig.

use std::path::{Path, PathBuf};

use super::command::run;
use super::{Reason, Setback, only_file};
use crate::target::Arch;

/// Downloads the one wheel that `requirement` names into the empty folder `into`.
pub(super) fn download(requirement: &str, into: &Path) -> Result<PathBuf, Setback> {
    let folder = into.display().to_string();
    let arguments = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
        // Named, lest another libc of the host decide which of several wheels it is: the digest is one wheel's.
        "--platform",
        platform(Arch::host()),
        "--dest",
        &folder,
        requirement,
    ];
    run("pip", Path::new("python3"), &arguments, Some(into))?;
    only_file(into).ok_or_else(|| Reason::Absent.into())
}

/// The oldest platform tag that wheels are made for.
const fn platform(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "manylinux_2_12_x86_64",
        Arch::Arm64 => "manylinux_2_17_aarch64",
    }
}
