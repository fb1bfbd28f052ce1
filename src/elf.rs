//! What an ELF file says of itself: facts only, no judgement, and no byte of it trusted.

use crate::target::Arch;

mod dynamic;
mod read;

pub use read::read;

/// The first four bytes of every ELF file.
pub const MAGIC: [u8; 4] = *b"\x7fELF";

/// Everything the dynamic loader and the kernel look at before the first instruction runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub class: Class,
    pub machine: Machine,
    pub kind: Kind,
    /// `PT_INTERP`: the loader that the kernel starts.
    pub interpreter: Option<String>,
    pub stack: Stack,
    /// The highest level in `GNU_PROPERTY_X86_ISA_1_NEEDED`: glibc refuses to load the file on less.
    pub isa: Option<IsaLevel>,
    /// Absent in a static executable.
    pub dynamic: Option<Dynamic>,
}

/// The dynamic section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dynamic {
    pub soname: Option<String>,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<String>,
    pub search: Search,
    pub versions_needed: Vec<VersionNeed>,
    /// Versions that this file defines (`DT_VERDEF`), its own name left out.
    pub versions_defined: Vec<String>,
    /// `DT_TEXTREL`, or `DF_TEXTREL` in `DT_FLAGS`.
    pub text_relocations: bool,
    /// `DT_RELR`: glibc before 2.36 does not know them and leaves the addresses as they are.
    pub packed_relocations: bool,
}

/// Where the file asks the loader to look. A `DT_RUNPATH` makes the loader ignore a `DT_RPATH` beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Search {
    #[default]
    Default,
    /// Before `LD_LIBRARY_PATH`, and for the libraries of its libraries too.
    Rpath(Vec<String>),
    /// After `LD_LIBRARY_PATH`, for its own needs only.
    Runpath(Vec<String>),
}

/// One version that a library must define, for example `GLIBC_2.34` of `libc.so.6`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionNeed {
    pub library: String,
    pub version: String,
    pub strength: Strength,
}

/// Whether the loader refuses (hard) or only warns (weak) when the version is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    Weak,
    Hard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Elf32,
    Elf64,
}

/// `e_machine` with the byte order, as far as Lambda knows processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    X86_64,
    Aarch64,
    /// The number in the header.
    Unknown(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Linked for a fixed address.
    Executable,
    /// Linked for any address, and marked as a program (`DF_1_PIE`).
    PositionIndependentExecutable,
    Shared,
    /// Not meant to be loaded: object files, core dumps.
    Unloadable,
}

/// The flags of `PT_GNU_STACK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    Plain,
    Executable,
    /// No such header: glibc takes that as a wish for an executable stack.
    Unsaid,
}

/// x86-64 micro-architecture levels, as the x86-64 psABI numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IsaLevel {
    Baseline,
    V2,
    V3,
    V4,
}

/// The bytes begin like an ELF file, and do not go on like one.
#[derive(Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum ElfError {
    #[error("the ELF file is damaged: {what}")]
    #[diagnostic(help("Make the file anew: it was cut short or overwritten."))]
    Damaged { what: String },
    #[error("the ELF file is implausible: more than {limit} {what}")]
    #[diagnostic(help("No compiler makes such a file: do not trust where it came from."))]
    Implausible { what: &'static str, limit: usize },
}

impl Facts {
    /// The Lambda architecture it runs on, if it runs on one.
    pub fn arch(&self) -> Option<Arch> {
        match (self.class, self.machine) {
            (Class::Elf64, Machine::X86_64) => Some(Arch::X86_64),
            (Class::Elf64, Machine::Aarch64) => Some(Arch::Arm64),
            _ => None,
        }
    }

    /// Whether it is a program, not a library. (Some libraries can be run too, and name their loader.)
    pub fn is_program(&self) -> bool {
        self.interpreter.is_some() || matches!(self.kind, Kind::Executable | Kind::PositionIndependentExecutable)
    }

    /// Whether the base's loader has a part in it: every library, and every program that names a loader.
    pub fn is_loaded_dynamically(&self) -> bool {
        self.dynamic.is_some() && (self.interpreter.is_some() || self.kind == Kind::Shared)
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Class::Elf32 => "32-bit",
            Class::Elf64 => "64-bit",
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Machine::X86_64 => f.write_str("x86_64"),
            Machine::Aarch64 => f.write_str("arm64"),
            Machine::Unknown(3) => f.write_str("x86"),
            Machine::Unknown(40) => f.write_str("arm"),
            Machine::Unknown(number) => write!(f, "machine {number}"),
        }
    }
}

impl std::fmt::Display for IsaLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            IsaLevel::Baseline => "x86-64",
            IsaLevel::V2 => "x86-64-v2",
            IsaLevel::V3 => "x86-64-v3",
            IsaLevel::V4 => "x86-64-v4",
        })
    }
}
