//! Sources as an engine wants them: fetched, verified, unpacked once into the store.

use std::path::PathBuf;

use crate::archive;
use crate::plan::Step;
use crate::progress::Reporter;
use crate::source::{Fetcher, Pinned};
use crate::store::Store;

use super::EngineError;

/// Fetches, several at once, what these steps are made of and what is not unpacked yet.
pub(super) fn fetch(
    steps: &[&Step],
    store: &Store,
    fetcher: &Fetcher,
    reporter: &dyn Reporter,
) -> Result<(), EngineError> {
    let mut wanted = Vec::new();
    for pinned in steps.iter().flat_map(|step| &step.sources).map(|mount| &mount.pinned) {
        let unpacked = pinned.alternatives.iter().any(|form| store.source_tree(&form.sha256).is_some());
        if !unpacked && !wanted.contains(pinned) {
            wanted.push(pinned.clone());
        }
    }
    fetcher.fetch_all(&wanted, reporter)?;
    Ok(())
}

/// The unpacked form of a source.
pub(super) fn tree(
    pinned: &Pinned,
    store: &Store,
    fetcher: &Fetcher,
    reporter: &dyn Reporter,
) -> Result<PathBuf, EngineError> {
    if let Some(tree) = pinned.alternatives.iter().find_map(|form| store.source_tree(&form.sha256)) {
        return Ok(tree);
    }
    let fetched = fetcher.fetch(pinned, reporter)?;
    let name = format!("{} {}", pinned.name, pinned.version);
    store.make_source_tree(&fetched.sha256, reporter, |into| {
        archive::unpack(&fetched.path, into, 1).map_err(|cause| EngineError::Unpack { name, cause })
    })
}
