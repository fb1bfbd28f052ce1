//! The build context: every source of a plan, verified and unpacked, under the names that the Dockerfile has for them.

use std::io;
use std::path::Path;

use crate::plan::{Plan, Step};
use crate::progress::Reporter;
use crate::source::Fetcher;
use crate::store::Store;

use super::super::{EngineError, sources};
use super::dockerfile;

/// Lays the sources out in `folder`. Within the store's file system files are linked, not copied: builders only read them.
pub fn lay_out(
    plan: &Plan,
    folder: &Path,
    store: &Store,
    fetcher: &Fetcher,
    reporter: &dyn Reporter,
) -> Result<(), EngineError> {
    let steps: Vec<&Step> = plan.steps.iter().collect();
    sources::fetch(&steps, store, fetcher, reporter)?;
    for mount in plan.steps.iter().flat_map(|step| &step.sources) {
        let place = folder.join(dockerfile::folder(mount));
        if !place.exists() {
            let tree = sources::tree(&mount.pinned, store, fetcher, reporter)?;
            link(&tree, &place).map_err(|cause| store.error(cause))?;
        }
    }
    Ok(())
}

/// Everything of `tree` at `place`, with its times: a configure script newer than its source would be made anew.
fn link(tree: &Path, place: &Path) -> io::Result<()> {
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
        } else if fs_err::hard_link(entry.path(), &target).is_err() {
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
        let place = dir.path().join("context/sources/x-1");
        link(&tree, &place).expect("laid out");
        let time = |file: &Path| fs_err::metadata(file).and_then(|facts| facts.modified()).expect("a time");
        assert_eq!(time(&place.join("sub/configure")), time(&tree.join("sub/configure")));
        assert_eq!(fs_err::read_link(place.join("link")).expect("a link"), Path::new("sub/configure"));
    }
}
