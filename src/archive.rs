//! Archives: unpacking what others made without trusting it, and packing a tree so that the bytes are the same every time.

mod pack;
mod stow;
mod unpack;

use std::io;
use std::path::{Path, PathBuf};

pub use pack::{Packed, pack};
pub use stow::stow;
pub use unpack::unpack;

/// Why an archive could not be unpacked or made. `entry` is the name as it is written in the archive.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ArchiveError {
    #[error("{} is no archive that phplayer knows", archive.display())]
    #[diagnostic(help("expected: tar, tar.gz, tar.xz or zip (the content decides, not the name)"))]
    UnknownFormat { archive: PathBuf },

    #[error("{} is damaged{}", archive.display(), at(entry))]
    #[diagnostic(help("remove the file and get it again"))]
    Damaged { archive: PathBuf, entry: Option<String>, source: io::Error },

    #[error("{} has an entry that is refused: `{entry}` {fault}", archive.display())]
    #[diagnostic(help("no honest source archive holds such an entry: check where the file came from"))]
    Refused { archive: PathBuf, entry: String, fault: Fault },

    #[error("no space left to write {}", path.display())]
    #[diagnostic(help("free some space there, or point PHPLAYER_STORE to a larger disk"))]
    NoSpace { path: PathBuf },

    #[error("{} could not be read or written", path.display())]
    #[diagnostic(help("check the permissions of that folder"))]
    Io { path: PathBuf, source: io::Error },

    #[error("{} cannot be put into a zip: {why}", path.display())]
    #[diagnostic(help("a layer holds files and symbolic links whose names are UTF-8"))]
    Unpackable { path: PathBuf, why: &'static str },
}

/// What an entry tries to do that would reach beyond the folder it is unpacked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("has an absolute name")]
    Absolute,
    #[error("climbs out of the folder")]
    Climbs,
    #[error("is a link that leaves the folder")]
    LinkLeaves,
    #[error("would be written through a symbolic link")]
    ThroughLink,
    #[error("is neither file, folder nor link")]
    Special,
    #[error("is a hard link to something that is not in the archive")]
    LinkDangles,
    #[error("has a name that is not UTF-8")]
    NotUtf8,
}

impl ArchiveError {
    /// A failed write: a full disk is told apart, because its remedy differs.
    fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), source },
        }
    }
}

fn at(entry: &Option<String>) -> String {
    entry.as_ref().map(|name| format!(", at `{name}`")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = ArchiveError::io(Path::new("x"), io::ErrorKind::StorageFull.into());
        assert!(matches!(full, ArchiveError::NoSpace { .. }));
        let other = ArchiveError::io(Path::new("x"), io::ErrorKind::PermissionDenied.into());
        assert!(matches!(other, ArchiveError::Io { .. }));
    }
}
