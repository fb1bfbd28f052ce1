//! Unpacking tar and zip archives into a folder that nothing in them can leave.

use std::collections::HashSet;
use std::fs::Permissions;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err::File;
use fs_err::os::unix::fs::symlink;

use super::{ArchiveError, Fault};

/// Unpacks `.tar`, `.tar.gz`, `.tar.xz` or `.zip` (wheels too), recognised by content, below `into`, leaving off the first
/// `strip` parts of every name (shorter names are skipped, as tar does).
///
/// Modes lose everything above `0777`. Modification times are those of the archive: by them `make` decides whether
/// `configure` and its like must be made anew. After an error `into` holds what came before the bad entry.
pub fn unpack(archive: &Path, into: &Path, strip: usize) -> Result<(), ArchiveError> {
    let unreadable = |source| ArchiveError::Io { path: archive.to_owned(), source };
    let mut file = File::open(archive).map_err(unreadable)?;
    let mut start = Vec::new();
    (&mut file).take(262).read_to_end(&mut start).map_err(unreadable)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    fs_err::create_dir_all(into).map_err(|source| ArchiveError::io(into, source))?;

    let mut folder = Folder { archive, root: into, strip, known: HashSet::new() };
    let file = BufReader::new(file);
    if start.starts_with(&[0x1f, 0x8b]) {
        folder.tar(flate2::bufread::MultiGzDecoder::new(file))
    } else if start.starts_with(b"\xfd7zXZ\0") {
        folder.tar(lzma_rust2::XzReader::new(file, true))
    } else if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        folder.zip(file)
    } else if start.get(257..262) == Some(b"ustar") {
        folder.tar(file)
    } else {
        Err(ArchiveError::UnknownFormat { archive: archive.to_owned() })
    }
}

/// The folder that is filled, and which of its folders are known to be real ones (not links to elsewhere).
struct Folder<'a> {
    archive: &'a Path,
    root: &'a Path,
    strip: usize,
    known: HashSet<PathBuf>,
}

impl Folder<'_> {
    fn tar(&mut self, reader: impl Read) -> Result<(), ArchiveError> {
        let mut tar = tar::Archive::new(reader);
        let mut last = None;
        for entry in tar.entries().map_err(|source| self.damaged(None, source))? {
            let mut entry = entry.map_err(|source| self.damaged(last.clone(), source))?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            self.tar_entry(&name, &mut entry)?;
            last = Some(name);
        }
        Ok(())
    }

    fn tar_entry(&mut self, name: &str, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), ArchiveError> {
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let raw = entry.path_bytes().into_owned();
        let Some(path) = self.place(name, Path::new(std::ffi::OsStr::from_bytes(&raw)))? else { return Ok(()) };
        let link = entry.link_name_bytes().map(|link| PathBuf::from(std::ffi::OsStr::from_bytes(&link)));
        match (kind, link) {
            (tar::EntryType::Directory, _) => self.make_folder(name, &path),
            (tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse, _) => {
                let header = |source| ArchiveError::Damaged {
                    archive: self.archive.to_owned(),
                    entry: Some(name.to_owned()),
                    source,
                };
                let mode = entry.header().mode().map_err(header)?;
                let modified = entry.header().mtime().map_err(header)?;
                self.write(name, &path, mode, SystemTime::UNIX_EPOCH + Duration::from_secs(modified), entry)
            }
            (tar::EntryType::Symlink, Some(target)) => self.link(name, &path, &target),
            (tar::EntryType::Link, Some(target)) => self.hard_link(name, &path, &target),
            _ => Err(self.refused(name, Fault::Special)),
        }
    }

    fn zip(&mut self, reader: impl Read + Seek) -> Result<(), ArchiveError> {
        let mut zip = zip::ZipArchive::new(reader).map_err(|error| self.damaged(None, error.into()))?;
        for index in 0..zip.len() {
            let listed = zip.name_for_index(index).and_then(Result::ok).map(|name| name.into_owned());
            let mut entry = zip.by_index(index).map_err(|error| self.damaged(listed.clone(), error.into()))?;
            let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
            let Some(path) = self.place(&name, Path::new(&name))? else { continue };
            // Zips made on other systems carry no Unix mode.
            let mode = entry.unix_mode().unwrap_or(if entry.is_dir() { 0o040_755 } else { 0o100_644 });
            match mode & 0o170_000 {
                _ if entry.is_dir() => self.make_folder(&name, &path)?,
                0o120_000 => {
                    let mut target = Vec::new();
                    entry.read_to_end(&mut target).map_err(|source| self.damaged(Some(name.clone()), source))?;
                    self.link(&name, &path, Path::new(std::ffi::OsStr::from_bytes(&target)))?;
                }
                0o100_000 | 0 => {
                    let modified = entry.last_modified().map_or(SystemTime::UNIX_EPOCH, zip_time);
                    self.write(&name, &path, mode, modified, &mut entry)?;
                }
                _ => return Err(self.refused(&name, Fault::Special)),
            }
        }
        Ok(())
    }

    /// Where the entry goes, relative to the root; `None` if stripping leaves nothing of its name.
    fn place(&self, entry: &str, name: &Path) -> Result<Option<PathBuf>, ArchiveError> {
        let mut parts = Vec::new();
        for part in name.components() {
            match part {
                Component::Normal(part) => parts.push(part),
                Component::CurDir => {}
                Component::ParentDir => return Err(self.refused(entry, Fault::Climbs)),
                Component::RootDir | Component::Prefix(_) => return Err(self.refused(entry, Fault::Absolute)),
            }
        }
        let path: PathBuf = parts.into_iter().skip(self.strip).collect();
        Ok((!path.as_os_str().is_empty()).then_some(path))
    }

    /// Makes the folder and those above it, each of which must be a folder and no link to one.
    fn make_folder(&mut self, entry: &str, path: &Path) -> Result<(), ArchiveError> {
        if path.as_os_str().is_empty() || self.known.contains(path) {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.make_folder(entry, above)?;
        }
        let full = self.root.join(path);
        match fs_err::symlink_metadata(&full) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(self.refused(entry, Fault::ThroughLink)),
            Err(_) => fs_err::create_dir(&full).map_err(|source| ArchiveError::io(&full, source))?,
        }
        self.known.insert(path.to_owned());
        Ok(())
    }

    /// The full path of a new file or link: its folder is there, and an older file of that name is gone.
    fn clear(&mut self, entry: &str, path: &Path) -> Result<PathBuf, ArchiveError> {
        if let Some(above) = path.parent() {
            self.make_folder(entry, above)?;
        }
        let full = self.root.join(path);
        match fs_err::symlink_metadata(&full) {
            Ok(found) if found.is_symlink() => Err(self.refused(entry, Fault::ThroughLink)),
            Ok(_) => {
                fs_err::remove_file(&full).map_err(|source| ArchiveError::io(&full, source))?;
                Ok(full)
            }
            Err(_) => Ok(full),
        }
    }

    fn write(
        &mut self,
        entry: &str,
        path: &Path,
        mode: u32,
        modified: SystemTime,
        content: &mut impl Read,
    ) -> Result<(), ArchiveError> {
        let full = self.clear(entry, path)?;
        let wrong = |source| ArchiveError::io(&full, source);
        let mut file = File::create(&full).map_err(wrong)?;
        let mut buffer = [0; 64 * 1024];
        // Not `io::copy`: reading fails for a damaged archive, writing for a full disk, and they must be told apart.
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(self.damaged(Some(entry.to_owned()), source)),
            };
            io::Write::write_all(&mut file, &buffer[..count]).map_err(wrong)?;
        }
        // The owner can always write: a build patches and removes what it unpacked.
        file.set_permissions(Permissions::from_mode(mode & 0o777 | 0o600)).map_err(wrong)?;
        file.file().set_modified(modified).map_err(wrong)
    }

    /// A symbolic link may point anywhere inside the root. `..` is only taken at the front of the target: the folders above
    /// the link are real ones, so there it means what it says, while behind another link it would not.
    fn link(&mut self, entry: &str, path: &Path, target: &Path) -> Result<(), ArchiveError> {
        let depth = path.components().count() - 1;
        let climbs = target.components().take_while(|part| *part == Component::ParentDir).count();
        let inside =
            target.components().skip(climbs).all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside || climbs > depth || target.as_os_str().is_empty() {
            return Err(self.refused(entry, Fault::LinkLeaves));
        }
        let full = self.clear(entry, path)?;
        symlink(target, &full).map_err(|source| ArchiveError::io(&full, source))
    }

    fn hard_link(&mut self, entry: &str, path: &Path, target: &Path) -> Result<(), ArchiveError> {
        let target = self.place(entry, target)?.ok_or_else(|| self.refused(entry, Fault::LinkDangles))?;
        if let Some(above) = target.parent() {
            self.make_folder(entry, above)?;
        }
        let existing = self.root.join(target);
        if !fs_err::symlink_metadata(&existing).is_ok_and(|found| found.is_file()) {
            return Err(self.refused(entry, Fault::LinkDangles));
        }
        let full = self.clear(entry, path)?;
        fs_err::hard_link(&existing, &full).map_err(|source| ArchiveError::io(&full, source))
    }

    fn damaged(&self, entry: Option<String>, source: io::Error) -> ArchiveError {
        ArchiveError::Damaged { archive: self.archive.to_owned(), entry, source }
    }

    fn refused(&self, entry: &str, fault: Fault) -> ArchiveError {
        ArchiveError::Refused { archive: self.archive.to_owned(), entry: entry.to_owned(), fault }
    }
}

/// A zip's time, which names no zone, read as UTC.
fn zip_time(time: zip::DateTime) -> SystemTime {
    // Days since 1970-01-01 in the Gregorian calendar, with years that begin in March so that the leap day comes last.
    let (year, month) = (u64::from(time.year()), u64::from(time.month()));
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days =
        year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + u64::from(time.day()) - 1 - 719_468;
    let seconds = u64::from(time.hour()) * 3600 + u64::from(time.minute()) * 60 + u64::from(time.second());
    SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tar with entries just as given: the crate's builder would refuse such names, so the header is written by hand.
    fn tar_of(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            header.set_mtime(1_000_000_000);
            let body = if kind.is_file() {
                header.set_size(content.len() as u64);
                content.as_bytes()
            } else {
                header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content.as_bytes());
                header.set_size(0);
                &[]
            };
            header.set_cksum();
            builder.append(&header, body).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// Unpacks into `inside/tree` of a new folder; the folder comes back to see what was written beside it.
    fn unpacked(bytes: &[u8], strip: usize) -> (tempfile::TempDir, Result<(), ArchiveError>) {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("archive");
        fs_err::write(&archive, bytes).unwrap();
        let result = unpack(&archive, &folder.path().join("inside/tree"), strip);
        (folder, result)
    }

    fn fault(entries: &[(&str, tar::EntryType, &str)]) -> Option<(String, Fault)> {
        let (folder, result) = unpacked(&tar_of(entries), 0);
        assert!(!folder.path().join("evil").exists() && !folder.path().join("inside/evil").exists(), "it escaped");
        match result {
            Err(ArchiveError::Refused { entry, fault, .. }) => Some((entry, fault)),
            Err(other) => panic!("{other:?}"),
            Ok(()) => None,
        }
    }

    #[test]
    fn nothing_leaves_the_folder() {
        use tar::EntryType::*;
        assert_eq!(fault(&[("../evil", Regular, "x")]), Some(("../evil".into(), Fault::Climbs)));
        assert_eq!(fault(&[("a/../../evil", Regular, "x")]), Some(("a/../../evil".into(), Fault::Climbs)));
        assert_eq!(fault(&[("/tmp/evil", Regular, "x")]), Some(("/tmp/evil".into(), Fault::Absolute)));
        assert_eq!(fault(&[("l", Symlink, "..")]), Some(("l".into(), Fault::LinkLeaves)));
        assert_eq!(fault(&[("l", Symlink, "/etc")]), Some(("l".into(), Fault::LinkLeaves)));
        assert_eq!(fault(&[("a/l", Symlink, "../../x")]), Some(("a/l".into(), Fault::LinkLeaves)));
        assert_eq!(fault(&[("h", Link, "../archive")]), Some(("h".into(), Fault::Climbs)));
        assert_eq!(fault(&[("h", Link, "nowhere")]), Some(("h".into(), Fault::LinkDangles)));
        assert_eq!(fault(&[("dev", Char, "")]), Some(("dev".into(), Fault::Special)));
        assert_eq!(fault(&[("pipe", Fifo, "")]), Some(("pipe".into(), Fault::Special)));
    }

    #[test]
    fn links_inside_are_made_but_never_written_through() {
        use tar::EntryType::*;
        assert_eq!(fault(&[("a/b", Regular, "x"), ("c/l", Symlink, "../a/b"), ("a/h", Link, "a/b")]), None);
        let through = fault(&[("d/f", Regular, "x"), ("l", Symlink, "d"), ("l/g", Regular, "x")]);
        assert_eq!(through, Some(("l/g".into(), Fault::ThroughLink)));
        let over = fault(&[("d/f", Regular, "x"), ("l", Symlink, "d/f"), ("l", Regular, "x")]);
        assert_eq!(over, Some(("l".into(), Fault::ThroughLink)));
        // Each link alone seems to stay inside; together they would climb.
        let chain = fault(&[("x/s", Symlink, "."), ("t", Symlink, "x/s/../..")]);
        assert_eq!(chain, Some(("t".into(), Fault::LinkLeaves)));
    }

    #[test]
    fn modes_times_and_stripping() {
        let bytes = tar_of(&[
            ("top", tar::EntryType::Directory, ""),
            ("top/configure", tar::EntryType::Regular, "#!/bin/sh"),
            ("pax", tar::EntryType::Regular, "too short a name"),
        ]);
        let (folder, result) = unpacked(&bytes, 1);
        result.unwrap();
        let tree = folder.path().join("inside/tree");
        let found = fs_err::metadata(tree.join("configure")).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o755);
        assert_eq!(found.modified().unwrap(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        assert_eq!(fs_err::read_dir(tree).unwrap().count(), 1);
    }

    #[test]
    fn compression_is_seen_by_content() {
        let tar = tar_of(&[("file", tar::EntryType::Regular, "text")]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, &tar).unwrap();
        for bytes in [tar, gzip.finish().unwrap()] {
            let (folder, result) = unpacked(&bytes, 0);
            result.unwrap();
            assert_eq!(fs_err::read_to_string(folder.path().join("inside/tree/file")).unwrap(), "text");
        }
    }

    #[test]
    fn damage_names_the_entry() {
        let tar = tar_of(&[("file", tar::EntryType::Regular, &"text".repeat(500))]);
        let (_folder, result) = unpacked(&tar[..1000], 0);
        assert!(matches!(result, Err(ArchiveError::Damaged { entry: Some(name), .. }) if name == "file"));
        let (_folder, result) = unpacked(b"<html>not found</html>", 0);
        assert!(matches!(result, Err(ArchiveError::UnknownFormat { .. })));
        let (_folder, result) = unpacked(b"PK\x03\x04 and nothing more", 0);
        assert!(matches!(result, Err(ArchiveError::Damaged { .. })));
    }

    #[test]
    fn zip_times_are_utc() {
        let time = |y, m, d| zip_time(zip::DateTime::from_date_and_time(y, m, d, 12, 30, 10).unwrap());
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(time(1980, 1, 1), at(315_577_810));
        assert_eq!(time(2024, 2, 29), at(1_709_209_810));
        assert_eq!(time(2026, 11, 23), at(1_795_437_010));
    }
}
