//! What a layer is built for: an architecture and a Lambda base image.

mod base;

use std::fmt;

pub use base::{Base, Described, DottedNumbers, GlibcVersion, PolicyName};
use serde::{Deserialize, Serialize};

/// The two architectures of Lambda.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
pub enum Arch {
    #[serde(rename = "x86_64")]
    #[value(name = "x86_64")]
    X86_64,
    #[serde(rename = "arm64")]
    #[value(name = "arm64")]
    Arm64,
}

impl Arch {
    pub const ALL: [Arch; 2] = [Arch::X86_64, Arch::Arm64];

    /// The architecture this program was compiled for.
    pub const fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::X86_64 }
    }

    /// Lambda's word for it (`CompatibleArchitectures`).
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Arm64 => "arm64",
        }
    }

    /// The processor's name in GNU triples and in zig's targets.
    pub const fn cpu(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Arm64 => "aarch64",
        }
    }

    /// The GNU triple, as `configure --host` takes it.
    pub const fn triple(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-linux-gnu",
            Arch::Arm64 => "aarch64-linux-gnu",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One base on one architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Target {
    pub arch: Arch,
    pub base: Base,
}

impl Target {
    /// zig's target with the glibc version pinned, for example `x86_64-linux-gnu.2.34`.
    pub fn zig(&self) -> String {
        format!("{}.2.{}", self.arch.triple(), self.base.glibc_minor())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.base, self.arch)
    }
}
