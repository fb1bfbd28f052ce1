//! What can go wrong with a source, and the way out of each.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::{Attempt, Pinned, Place, Reason, SignatureFault};
use crate::digest::Digest;

/// `name` is the source's name and version, `tried` every place that was asked, in order.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum SourceError {
    #[error("{name} is nowhere to be had{}", list(tried))]
    #[diagnostic(help("{}\nPHPLAYER_MIRROR may name an address below which it lies", by_hand(wanted)))]
    Unobtainable { name: String, wanted: Vec<(String, Digest)>, tried: Vec<Attempt> },

    #[error(
        "{name} from {place} is not the file that was pinned\n  expected sha256 {expected}\n  found    sha256 {found}{}",
        list(tried)
    )]
    #[diagnostic(help(
        "if upstream really replaced the file, check why and pin the new digest; otherwise do not use it"
    ))]
    Mismatch { name: String, place: Box<Place>, expected: Digest, found: Digest, tried: Vec<Attempt> },

    #[error("{name} is not at hand, and phplayer may not go online{}", list(tried))]
    #[diagnostic(help("run `phplayer fetch` while online, or leave `--offline` off\n{}", by_hand(wanted)))]
    Offline { name: String, wanted: Vec<(String, Digest)>, tried: Vec<Attempt> },

    #[error("{name} from {place} is not signed as it should be: {fault}")]
    #[diagnostic(help(
        "nothing of it was kept; get the file and its .asc from upstream and compare the signer with the key `{key}`"
    ))]
    BadSignature { name: String, place: Place, key: String, fault: SignatureFault },

    #[error("no space left in {}", path.display())]
    #[diagnostic(help("free some space there, or point PHPLAYER_STORE to a larger disk"))]
    NoSpace { path: PathBuf },

    #[error("the store cannot be written to: {}", path.display())]
    #[diagnostic(help("make that folder writable, or point PHPLAYER_STORE to one that is"))]
    NotWritable { path: PathBuf, source: io::Error },

    #[error("{} sources could not be fetched", errors.len())]
    Several {
        #[related]
        errors: Vec<SourceError>,
    },
}

impl SourceError {
    /// A failed write: a full disk is told apart, because its remedy differs.
    pub(super) fn writing(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path: path.to_owned() },
            _ => Self::NotWritable { path: path.to_owned(), source },
        }
    }

    /// Every place was asked in vain. A wrong file weighs more than a missing one,
    /// unless it is the store's own, which is known to be damaged.
    pub(super) fn nowhere(name: String, pinned: &Pinned, mut tried: Vec<Attempt>, offline: bool) -> Self {
        let wrong = tried.iter().position(|attempt| {
            matches!(attempt.reason, Reason::Mismatch { .. }) && !matches!(attempt.place, Place::Store(_))
        });
        if let Some(index) = wrong
            && let Reason::Mismatch { found } = tried[index].reason
        {
            let Attempt { place, expected, .. } = tried.remove(index);
            return Self::Mismatch { name, place: Box::new(place), expected, found, tried };
        }
        let wanted = pinned.alternatives.iter().map(|alternative| {
            let file =
                alternative.file_names().first().map_or_else(|| "the file".to_owned(), |name| (*name).to_owned());
            (file, alternative.sha256)
        });
        let wanted = wanted.collect();
        if offline { Self::Offline { name, wanted, tried } } else { Self::Unobtainable { name, wanted, tried } }
    }
}

fn list(tried: &[Attempt]) -> String {
    tried.iter().fold(String::new(), |mut text, attempt| {
        let _ = write!(text, "\n  {attempt}");
        text
    })
}

fn by_hand(wanted: &[(String, Digest)]) -> String {
    let mut text = "PHPLAYER_SOURCES may name a folder that holds the file:".to_owned();
    for (file, sha256) in wanted {
        let _ = write!(text, "\n  {file}  sha256 {sha256}");
    }
    text
}
