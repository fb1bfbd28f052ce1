//! The build context: every source of a plan, verified and unpacked, under the names that the Dockerfile has for them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::plan::{Plan, Step};
use crate::progress::Reporter;
use crate::source::Fetcher;
use crate::store::Store;

use super::super::{EngineError, sources};
use super::dockerfile;

/// Lays the sources out in `folder`, which is the engine's own. Within the store's file system files are linked, not
/// copied: builders only read them.
pub fn lay_out(
    plan: &Plan,
    folder: &Path,
    store: &Store,
    fetcher: &Fetcher,
    reporter: &dyn Reporter,
) -> Result<(), EngineError> {
    for (place, tree) in places(plan, folder, store, fetcher, reporter)? {
        reproduce(&tree, &place, Bytes::Linked).map_err(|cause| store.error(cause))?;
    }
    Ok(())
}

/// The same for several plans, in a folder of the user's, who may change what lies there: nothing of it is the store's, and
/// what lay there is made anew.
pub fn hand_out(
    plans: &[Plan],
    folder: &Path,
    store: &Store,
    fetcher: &Fetcher,
    reporter: &dyn Reporter,
) -> Result<(), EngineError> {
    let mut all = BTreeMap::new();
    for plan in plans {
        all.extend(places(plan, folder, store, fetcher, reporter)?);
    }
    for (place, tree) in all {
        replace(&tree, &place).map_err(|cause| EngineError::Context { folder: folder.to_owned(), cause })?;
    }
    Ok(())
}

/// Where each source of the plan belongs, and its unpacked form; each place once.
fn places(
    plan: &Plan,
    folder: &Path,
    store: &Store,
    fetcher: &Fetcher,
    reporter: &dyn Reporter,
) -> Result<BTreeMap<PathBuf, PathBuf>, EngineError> {
    let steps: Vec<&Step> = plan.steps.iter().collect();
    sources::fetch(&steps, store, fetcher, reporter)?;
    let mounts = plan.steps.iter().flat_map(|step| &step.sources);
    mounts
        .map(|mount| {
            let tree = sources::tree(&mount.pinned, store, fetcher, reporter)?;
            Ok((folder.join(dockerfile::folder(mount)), tree))
        })
        .collect()
}

/// Copies beside the place and renames: a copy that was interrupted is not taken for a whole one.
fn replace(tree: &Path, place: &Path) -> io::Result<()> {
    let parent = place.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(parent)?;
    let draft = tempfile::Builder::new().prefix(".phplayer-").tempdir_in(parent)?;
    let copy = draft.path().join("copy");
    reproduce(tree, &copy, Bytes::Copied)?;
    if place.exists() {
        fs_err::rename(place, draft.path().join("old"))?;
    }
    fs_err::rename(&copy, place)
}

/// Whether a file is the store's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bytes {
    Linked,
    Copied,
}

/// Everything of `tree` at `place`, with its times: a configure script newer than its source would be made anew.
fn reproduce(tree: &Path, place: &Path, bytes: Bytes) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(tree) {
        let entry = entry?;
        let target = match entry.path().strip_prefix(tree) {
            Ok(rest) if rest.as_os_str().is_empty() => place.to_owned(),
            Ok(rest) => place.join(rest),
            Err(_) => continue,
        };
        if entry.file_type().is_dir() {
            fs_err::create_dir_all(&target)?;
        } else if entry.path_is_symlink() {
            fs_err::os::unix::fs::symlink(fs_err::read_link(entry.path())?, &target)?;
        } else if bytes == Bytes::Copied || fs_err::hard_link(entry.path(), &target).is_err() {
            fs_err::copy(entry.path(), &target)?;
            let time = entry.metadata()?.modified()?;
            fs_err::File::options().append(true).open(&target)?.into_file().set_modified(time)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_laid_out_with_its_links_and_times() {
        let dir = tempfile::tempdir().expect("a folder");
        let tree = dir.path().join("tree");
        fs_err::create_dir_all(tree.join("sub")).expect("made");
        fs_err::write(tree.join("sub/configure"), "#!/bin/sh").expect("written");
        fs_err::os::unix::fs::symlink("sub/configure", tree.join("link")).expect("linked");
        let time = |file: &Path| fs_err::metadata(file).and_then(|facts| facts.modified()).expect("a time");
        for bytes in [Bytes::Linked, Bytes::Copied] {
            let place = dir.path().join(format!("context/sources/{bytes:?}"));
            reproduce(&tree, &place, bytes).expect("laid out");
            assert_eq!(time(&place.join("sub/configure")), time(&tree.join("sub/configure")));
            assert_eq!(fs_err::read_link(place.join("link")).expect("a link"), Path::new("sub/configure"));
        }
    }
}
