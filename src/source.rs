//! Sources: getting a pinned file from wherever it is to be had, and never letting an unverified one in.

mod command;
mod debian;
mod error;
mod fetcher;
mod http;
mod place;
mod python;
mod signature;

use std::path::{Path, PathBuf};

use crate::digest::Digest;

pub use error::SourceError;
pub use fetcher::Fetcher;
pub use place::{Attempt, Place, Reason};
pub use signature::{SignatureBy, SignatureFault, UnknownKey};

/// One piece of code at one version, in one or more packings (upstream's, and perhaps Debian's).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pinned {
    pub name: String,
    pub version: String,
    pub alternatives: Vec<Alternative>,
}

/// One file, known by its digest, and where it may be had. In the store it keeps the name under which it came.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Alternative {
    pub sha256: Digest,
    pub urls: Vec<String>,
    /// The file's name in Debian's pool, for example `php8.4_8.4.24.orig.tar.xz`: the source package is what precedes `_`.
    pub debian: Option<String>,
    /// A requirement that pip resolves to exactly this wheel, for example `ziglang==0.15.2`.
    pub python: Option<String>,
    /// Who signs it, in a detached `.asc` beside the file.
    pub signature: Option<SignatureBy>,
}

/// A source in the store, its digest checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub path: PathBuf,
    pub sha256: Digest,
}

/// A place did not yield the file: either another may, or this machine is at fault and none would.
enum Setback {
    There(Reason),
    Here(Box<SourceError>),
}

impl From<Reason> for Setback {
    fn from(reason: Reason) -> Self {
        Self::There(reason)
    }
}

impl From<SourceError> for Setback {
    fn from(error: SourceError) -> Self {
        Self::Here(Box::new(error))
    }
}

impl Alternative {
    /// The names under which the file is known.
    fn file_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.urls.iter().map(|url| last_part(url)).chain(self.debian.as_deref()).collect();
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(*name));
        names
    }
}

/// What follows the last `/` of an address, without its query.
fn last_part(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    match path.rsplit('/').next() {
        Some(name) if !matches!(name, "" | "." | "..") => name,
        _ => "source",
    }
}

/// The file in a folder that holds one.
fn only_file(folder: &Path) -> Option<PathBuf> {
    fs_err::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.is_file())
}
