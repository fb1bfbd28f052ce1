//! Where a source may be had, and why it was not.

use std::fmt;
use std::path::PathBuf;

use crate::address;
use crate::digest::Digest;

/// The kinds of place in the order in which they are asked; the first two need no network.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Store,
    Folder,
    Upstream,
    Mirror,
    Debian,
    Python,
}

impl Stage {
    pub const ALL: [Stage; 6] =
        [Stage::Store, Stage::Folder, Stage::Upstream, Stage::Mirror, Stage::Debian, Stage::Python];
}

/// One place to look for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The folder of the store that would hold it.
    Store(PathBuf),
    /// `PHPLAYER_SOURCES`.
    Folder(PathBuf),
    Upstream(String),
    /// Below `PHPLAYER_MIRROR`.
    Mirror(String),
    /// In the pool of an archive that this machine's apt is set up with.
    Debian(String),
    /// Debian's pool, whose address this machine cannot tell.
    DebianUnknown(Reason),
    /// A requirement for pip.
    Python(String),
}

/// Why a place did not yield the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("it is not there")]
    Absent,
    #[error("HTTP {0}")]
    Status(u16),
    #[error("no connection: {0}")]
    Unreachable(String),
    #[error("no answer in time")]
    TimedOut,
    #[error("it broke off after {got} of {expected} bytes")]
    Truncated { got: u64, expected: u64 },
    #[error("another file: its sha256 is {found}")]
    Mismatch { found: Digest },
    #[error("{0}")]
    Failed(String),
    #[error("`{0}` is not installed")]
    NoTool(String),
    #[error("{tool} says: {said}")]
    Tool { tool: &'static str, said: String },
    #[error("{0}")]
    Unreadable(String),
}

/// One place that was asked in vain. `expected` is the digest that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub place: Place,
    pub expected: Digest,
    pub reason: Reason,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Store(path) => write!(f, "store {}", path.display()),
            Place::Folder(path) => write!(f, "folder {}", path.display()),
            Place::Upstream(url) => f.write_str(&address::shown(url)),
            Place::Mirror(url) => write!(f, "mirror {}", address::shown(url)),
            Place::Debian(url) => write!(f, "Debian {}", address::shown(url)),
            Place::DebianUnknown(_) => write!(f, "Debian's pool"),
            Place::Python(requirement) => write!(f, "pip {requirement}"),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}
