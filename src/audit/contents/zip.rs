//! A layer in a zip: everything that the archive says and holds, hostile or cut short.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::ZipArchive;
use zip::read::ZipFileEntry;

use super::{
    Budget, Content, Contents, Entry, MANIFEST_LIMIT, ManifestFound, Node, Origin, PATH_LIMIT, parse_manifest,
};
use crate::audit::AuditError;
use crate::digest::Digest;
use crate::layer::manifest::is_manifest;

const TYPE: u32 = 0o170_000;
const SYMLINK: u32 = 0o120_000;

pub(super) fn read(path: &Path) -> Result<Contents, AuditError> {
    let open = |source| AuditError::Open { path: path.to_owned(), source };
    let mut file = fs_err::File::open(path).map_err(open)?;
    // The digest first: a file that changes while it is audited then never matches its audit.
    let sha256 = Digest::of_reader(&mut file).map_err(open)?;
    let zipped = file.stream_position().map_err(open)?;
    file.rewind().map_err(open)?;

    let mut contents = Contents {
        origin: Origin::Zip { path: path.to_owned(), sha256, zipped },
        entries: Vec::new(),
        unzipped: 0,
        corrupt: None,
        repeated: BTreeMap::new(),
        manifest: ManifestFound::Absent,
    };
    match ZipArchive::new(BufReader::new(file)) {
        Ok(mut archive) => {
            read_entries(&mut archive, &mut contents);
            let start = archive.central_directory_start();
            contents.repeated = repeated(archive.into_inner(), start).map_err(open)?;
        }
        Err(error) => contents.corrupt = Some(error.to_string()),
    }
    Ok(contents)
}

fn read_entries<R: Read + Seek>(archive: &mut ZipArchive<R>, contents: &mut Contents) {
    let mut budget = Budget::new();
    for index in 0..archive.len() {
        let Ok(stored) = archive.by_index_data(index) else { continue };
        let (raw, mode, claimed) = (stored.name_raw().to_vec(), mode(&stored), stored.size());
        let name = String::from_utf8_lossy(&raw);
        let is_folder = name.ends_with('/') || name.ends_with('\\');
        let content = match archive.by_index(index) {
            Err(error) => Err(error.to_string()),
            Ok(_) if is_folder => Ok(Node::Folder),
            Ok(file) if mode.is_some_and(|mode| mode & TYPE == SYMLINK) => budget
                .small(file, claimed, PATH_LIMIT)
                .map(|target| Node::Symlink { target: String::from_utf8_lossy(&target).into_owned() }),
            Ok(file) if is_manifest(&name) => budget.small(file, claimed, MANIFEST_LIMIT).map(|bytes| {
                contents.manifest = parse_manifest(&bytes);
                Node::File(Content::Data)
            }),
            Ok(file) => Ok(Node::File(budget.classify(file, claimed))),
        };
        let node = content.unwrap_or_else(|why| Node::File(Content::Unreadable(why)));
        contents.unzipped = contents.unzipped.saturating_add(claimed);
        let name = name.strip_suffix('/').unwrap_or(&name).to_owned();
        contents.entries.push(Entry { name, mode: mode.map(|mode| mode & 0o7777), node });
    }
}

/// Names that stand more than once in the central directory, and how often: the archive reader keeps one of each.
fn repeated<R: Read + Seek>(mut reader: R, start: u64) -> io::Result<BTreeMap<String, usize>> {
    let mut counts: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    reader.seek(SeekFrom::Start(start))?;
    let mut record = [0; 46];
    while reader.read_exact(&mut record).is_ok() && record.starts_with(b"PK\x01\x02") {
        let length = |at: usize| u16::from_le_bytes([record[at], record[at + 1]]);
        let mut name = Vec::new();
        reader.by_ref().take(length(28).into()).read_to_end(&mut name)?;
        *counts.entry(name).or_default() += 1;
        reader.seek_relative(i64::from(length(30)) + i64::from(length(32)))?;
    }
    let repeated = counts.into_iter().filter(|(_, count)| *count > 1);
    Ok(repeated.map(|(name, count)| (String::from_utf8_lossy(&name).into_owned(), count)).collect())
}

/// Type and permission bits as stored: the crate makes up some for archives that store none.
fn mode(stored: &ZipFileEntry<'_>) -> Option<u32> {
    let bits = stored.external_attributes() >> 16;
    (stored.system() == zip::System::Unix || bits != 0).then_some(bits)
}
