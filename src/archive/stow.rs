//! Stowing a tree as it is, for another machine that will unpack it: a tar.gz whose bytes depend on the tree alone.

use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::ArchiveError;

/// Times inside: the first second of 1980 in UTC, as in a step's sandbox.
const EPOCH: u64 = 315_532_800;

/// Writes everything below `tree` to the new file `archive`: folders (empty ones too), files with their modes, links as
/// links, sorted by name, owned by nobody in particular. Unlike a layer's zip it must leave nothing out: who unpacks it
/// shall have what the step has made.
pub fn stow(tree: &Path, archive: &Path) -> Result<(), ArchiveError> {
    let wrong = |source| ArchiveError::io(archive, source);
    let file = BufWriter::new(fs_err::File::create(archive).map_err(wrong)?);
    // Level 6 takes a second for all of PHP; level 9 five, to save two per cent.
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::new(6)));
    for entry in walkdir::WalkDir::new(tree).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| ArchiveError::io(tree, error.into()))?;
        add(&mut tar, tree, entry.path())?;
    }
    let gzip = tar.into_inner().map_err(wrong)?;
    gzip.finish().and_then(|mut file| file.flush()).map_err(wrong)
}

fn add(tar: &mut tar::Builder<impl io::Write>, tree: &Path, path: &Path) -> Result<(), ArchiveError> {
    let wrong = |source| ArchiveError::io(path, source);
    let facts = fs_err::symlink_metadata(path).map_err(wrong)?;
    let name: PathBuf = path.strip_prefix(tree).unwrap_or(path).to_owned();
    let mut header = tar::Header::new_gnu();
    header.set_mtime(EPOCH);
    header.set_mode(facts.permissions().mode() & 0o777);
    header.set_size(0);
    if facts.is_dir() {
        header.set_entry_type(tar::EntryType::Directory);
        tar.append_data(&mut header, name, io::empty()).map_err(wrong)
    } else if facts.is_symlink() {
        header.set_entry_type(tar::EntryType::Symlink);
        let target = fs_err::read_link(path).map_err(wrong)?;
        tar.append_link(&mut header, name, target).map_err(wrong)
    } else if facts.is_file() {
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(facts.len());
        tar.append_data(&mut header, name, fs_err::File::open(path).map_err(wrong)?).map_err(wrong)
    } else {
        Err(ArchiveError::Unpackable { path: path.to_owned(), why: "it is neither file, folder nor link" })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;
    use crate::archive::unpack;
    use crate::digest::Digest;

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let deep = root.join("include").join("a-name-of-many-letters/".repeat(8));
        fs_err::create_dir_all(&deep).unwrap();
        fs_err::create_dir_all(root.join("empty")).unwrap();
        fs_err::create_dir_all(root.join("bin")).unwrap();
        fs_err::write(deep.join("zlib.h"), "#define ZLIB\n".repeat(1000)).unwrap();
        fs_err::write(root.join("bin/php"), "program").unwrap();
        fs_err::set_permissions(root.join("bin/php"), Permissions::from_mode(0o755)).unwrap();
        fs_err::os::unix::fs::symlink("php", root.join("bin/php-fpm")).unwrap();
        folder
    }

    #[test]
    fn what_is_stowed_comes_back_whole_and_the_bytes_are_the_same_each_time() {
        let (one, two, out) = (tree(), tree(), tempfile::tempdir().unwrap());
        let archive = out.path().join("one.tar.gz");
        stow(one.path(), &archive).unwrap();
        stow(two.path(), &out.path().join("two.tar.gz")).unwrap();
        let digest = Digest::of_file(&archive).unwrap();
        assert_eq!(Digest::of_file(&out.path().join("two.tar.gz")).unwrap(), digest);

        let back = out.path().join("back");
        unpack(&archive, &back, 0).unwrap();
        assert!(back.join("empty").is_dir());
        assert_eq!(fs_err::read_link(back.join("bin/php-fpm")).unwrap(), Path::new("php"));
        assert_eq!(fs_err::metadata(back.join("bin/php")).unwrap().permissions().mode() & 0o777, 0o755);
        stow(&back, &out.path().join("again.tar.gz")).unwrap();
        assert_eq!(Digest::of_file(&out.path().join("again.tar.gz")).unwrap(), digest);
    }
}
