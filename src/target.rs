//! What a layer is built for: an architecture and a Lambda base image.

use std::fmt;

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

/// A Lambda base image that a layer runs on.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
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
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// Amazon Linux 2023: `provided.al2023`, glibc 2.34.
    #[default]
    Al2023,
}

impl Base {
    pub const ALL: [Base; 1] = [Base::Al2023];

    pub const fn name(self) -> &'static str {
        match self {
            Base::Al2023 => "al2023",
        }
    }

    /// The identifier in `CompatibleRuntimes`.
    pub const fn runtime(self) -> &'static str {
        match self {
            Base::Al2023 => "provided.al2023",
        }
    }

    /// The minor number of the base's glibc 2.x: no symbol may be newer.
    pub const fn glibc_minor(self) -> u32 {
        match self {
            Base::Al2023 => 34,
        }
    }
}

impl fmt::Display for Base {
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
