//! Packing a tree into a zip whose bytes depend on names, contents and execute bits alone.

use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use zip::write::{PreparedZipFile, SimpleFileOptions, ZipFileBuilder};

use super::ArchiveError;
use crate::digest::Digest;

/// A finished zip. Sizes are in bytes; `unzipped` is the sum of the files, which is what Lambda's limit counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    pub sha256: Digest,
    pub zipped: u64,
    pub unzipped: u64,
    pub entries: usize,
}

/// Packs everything below `tree` into `zip`, which appears whole or not at all.
///
/// Entries are sorted by the bytes of their names and dated 1980-01-01, with modes 0755 (if the owner may execute) or
/// 0644, links as links, no extra fields and no entries for folders: who unpacks makes those, and an empty one is left out.
/// Files are compressed in parallel; the bytes do not depend on the number of threads.
pub fn pack(tree: &Path, zip: &Path) -> Result<Packed, ArchiveError> {
    let found = list(tree)?;
    let entries = found.into_par_iter().map(Found::compress).collect::<Result<Vec<_>, _>>()?;
    let unzipped = entries.iter().map(|entry| entry.size).sum();
    let count = entries.len();

    let wrong = |source| ArchiveError::io(zip, source);
    let folder = zip.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder).map_err(wrong)?;
    let temporary =
        tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o644)).tempfile_in(folder).map_err(wrong)?;
    let mut writer = zip::ZipWriter::new(BufWriter::new(temporary.as_file()));
    for entry in entries {
        match entry.content {
            Content::File(prepared) => writer.add_prepared_file(prepared),
            Content::Link(target) => writer.add_symlink(entry.name, target, SimpleFileOptions::DEFAULT),
        }
        .map_err(|error| wrong(error.into()))?;
    }
    let mut file = writer.finish().map_err(|error| wrong(error.into()))?;
    file.flush().map_err(wrong)?;
    drop(file);

    let sha256 = Digest::of_file(temporary.path()).map_err(wrong)?;
    let zipped = temporary.as_file().metadata().map_err(wrong)?.len();
    temporary.persist(zip).map_err(|error| wrong(error.error))?;
    Ok(Packed { sha256, zipped, unzipped, entries: count })
}

/// One thing in the tree.
struct Found {
    name: String,
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    File { executable: bool },
    Link,
}

/// One entry, ready to be written.
struct Entry {
    name: String,
    size: u64,
    content: Content,
}

enum Content {
    File(PreparedZipFile),
    Link(String),
}

fn list(tree: &Path) -> Result<Vec<Found>, ArchiveError> {
    let mut all = Vec::new();
    for entry in walkdir::WalkDir::new(tree).min_depth(1) {
        let entry = entry.map_err(|error| ArchiveError::io(tree, error.into()))?;
        let path = entry.path().to_owned();
        let metadata = entry.metadata().map_err(|error| ArchiveError::io(&path, error.into()))?;
        let kind = if metadata.is_dir() {
            continue;
        } else if metadata.is_symlink() {
            Kind::Link
        } else if metadata.is_file() {
            Kind::File { executable: metadata.permissions().mode() & 0o100 != 0 }
        } else {
            return Err(ArchiveError::Unpackable { path, why: "it is neither file, folder nor link" });
        };
        let Some(name) = path.strip_prefix(tree).ok().and_then(Path::to_str).map(str::to_owned) else {
            return Err(ArchiveError::Unpackable { path, why: "its name is not UTF-8" });
        };
        all.push(Found { name, path, kind });
    }
    all.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Ok(all)
}

impl Found {
    fn compress(self) -> Result<Entry, ArchiveError> {
        let Self { name, path, kind } = self;
        let wrong = |source| ArchiveError::io(&path, source);
        match kind {
            Kind::Link => {
                let target = fs_err::read_link(&path).map_err(wrong)?;
                let Some(target) = target.to_str().map(str::to_owned) else {
                    return Err(ArchiveError::Unpackable { path, why: "its target is not UTF-8" });
                };
                Ok(Entry { name, size: 0, content: Content::Link(target) })
            }
            Kind::File { executable } => {
                // `DEFAULT` and not `default()`: the latter may mean the present time. Level 9 is the best that deflate has
                // without zopfli, which costs fifty times as long for a few per cent.
                let options = SimpleFileOptions::DEFAULT
                    .compression_method(zip::CompressionMethod::Deflated)
                    .compression_level(Some(9))
                    .unix_permissions(if executable { 0o755 } else { 0o644 });
                let mut file = fs_err::File::open(&path).map_err(wrong)?;
                let mut builder = ZipFileBuilder::new(&name, options).map_err(|error| wrong(error.into()))?;
                let size = io::copy(&mut file, &mut builder).map_err(wrong)?;
                let prepared = builder.finish().map_err(|error| wrong(error.into()))?;
                Ok(Entry { name, size, content: Content::File(prepared) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::archive::unpack;

    /// The same tree each time, made in the given order of steps and with the given time and group bits.
    fn tree(order: &[usize], seconds: u64, group: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for step in order {
            match step {
                0 => file(root, "bin/php", &"program ".repeat(10_000), 0o700 | group, seconds),
                1 => file(root, "etc/php.ini", "memory_limit=1G", 0o600 | group, seconds),
                2 => file(root, "etc-more", "", 0o600, seconds),
                _ => {
                    fs_err::create_dir_all(root.join("bin")).unwrap();
                    fs_err::os::unix::fs::symlink("php", root.join("bin/php-fpm")).unwrap();
                }
            }
        }
        folder
    }

    fn file(root: &Path, name: &str, text: &str, mode: u32, seconds: u64) {
        let path = root.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        fs_err::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let file = fs_err::File::open(&path).unwrap();
        file.file().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes() {
        let out = tempfile::tempdir().unwrap();
        let once = pack(tree(&[0, 1, 2, 3], 1_000_000_000, 0o070).path(), &out.path().join("a.zip")).unwrap();
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let other = tree(&[3, 2, 1, 0], 1_700_000_000, 0);
        let again = one_thread.install(|| pack(other.path(), &out.path().join("b.zip"))).unwrap();
        assert_eq!(once, again);
        let bytes = fs_err::read(out.path().join("a.zip")).unwrap();
        assert_eq!(bytes, fs_err::read(out.path().join("b.zip")).unwrap());
        assert_eq!((once.sha256, once.zipped), (Digest::of(&bytes), bytes.len() as u64));
        assert_eq!((once.entries, once.unzipped), (4, 80_015));
        assert_eq!(fs_err::read_dir(out.path()).unwrap().count(), 2, "a temporary file stayed");
    }

    #[test]
    fn entries_are_bare() {
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("a.zip");
        pack(tree(&[0, 1, 2, 3], 1_000_000_000, 0o070).path(), &path).unwrap();
        let mut zip = zip::ZipArchive::new(fs_err::File::open(&path).unwrap()).unwrap();
        let listed: Vec<_> = (0..zip.len())
            .map(|index| {
                let entry = zip.by_index(index).unwrap();
                let time = entry.last_modified().unwrap();
                assert_eq!((time.year(), time.month(), time.day(), time.hour()), (1980, 1, 1, 0));
                assert_eq!(entry.extra_data().unwrap_or_default(), b"");
                (entry.name_raw().to_vec(), entry.unix_mode().unwrap())
            })
            .collect();
        // `-` sorts before `/`: by bytes, not by folders.
        let expected: Vec<(&[u8], u32)> = vec![
            (b"bin/php", 0o100_755),
            (b"bin/php-fpm", 0o120_777),
            (b"etc-more", 0o100_644),
            (b"etc/php.ini", 0o100_644),
        ];
        let expected: Vec<_> = expected.into_iter().map(|(name, mode)| (name.to_vec(), mode)).collect();
        assert_eq!(listed, expected);
    }

    #[test]
    fn what_is_packed_comes_back() {
        let out = tempfile::tempdir().unwrap();
        let (path, back) = (out.path().join("a.zip"), out.path().join("back"));
        pack(tree(&[0, 1, 2, 3], 1_000_000_000, 0).path(), &path).unwrap();
        unpack(&path, &back, 0).unwrap();
        assert_eq!(fs_err::read_link(back.join("bin/php-fpm")).unwrap(), Path::new("php"));
        assert_eq!(fs_err::read_to_string(back.join("etc/php.ini")).unwrap(), "memory_limit=1G");
        assert_eq!(fs_err::metadata(back.join("bin/php-fpm")).unwrap().permissions().mode() & 0o777, 0o755);
        let again = pack(&back, &out.path().join("b.zip")).unwrap();
        assert_eq!(again.sha256, Digest::of_file(&path).unwrap());
    }

    #[test]
    fn what_no_layer_can_hold_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let out = tempfile::tempdir().unwrap();
        let result = pack(folder.path(), &out.path().join("a.zip"));
        assert!(matches!(result, Err(ArchiveError::Unpackable { path, .. }) if path.ends_with("socket")));
        assert!(!out.path().join("a.zip").exists());
    }
}
