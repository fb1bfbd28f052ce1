//! A layer not yet packed: the same facts from a folder.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use super::{Budget, Content, Contents, Entry, MANIFEST_LIMIT, ManifestFound, Node, Origin, parse_manifest};
use crate::audit::AuditError;
use crate::layer::manifest::is_manifest;

pub(super) fn read(path: &Path) -> Result<Contents, AuditError> {
    let mut contents = Contents {
        origin: Origin::Folder { path: path.to_owned() },
        entries: Vec::new(),
        unzipped: 0,
        corrupt: None,
        repeated: BTreeMap::new(),
        manifest: ManifestFound::Absent,
    };
    let mut budget = Budget::new();
    for found in WalkDir::new(path).min_depth(1).sort_by_file_name() {
        match found {
            Ok(found) => read_entry(path, &found, &mut budget, &mut contents),
            Err(error) => {
                let at = error.path().unwrap_or(path);
                let name = at.strip_prefix(path).unwrap_or(at).to_string_lossy().into_owned();
                let node = Node::File(Content::Unreadable(error.to_string()));
                contents.entries.push(Entry { name, mode: None, node });
            }
        }
    }
    Ok(contents)
}

fn read_entry(root: &Path, found: &DirEntry, budget: &mut Budget, contents: &mut Contents) {
    let path = found.path();
    let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
    let metadata = found.metadata().ok();
    let node = if found.file_type().is_dir() {
        Node::Folder
    } else if found.path_is_symlink() {
        match fs_err::read_link(path) {
            Ok(target) => Node::Symlink { target: target.to_string_lossy().into_owned() },
            Err(error) => Node::File(Content::Unreadable(error.to_string())),
        }
    } else if !found.file_type().is_file() {
        // Opening a pipe would wait for a writer for ever.
        Node::File(Content::Unreadable("neither a file, a folder nor a symbolic link".into()))
    } else {
        let size = metadata.as_ref().map_or(0, |metadata| metadata.len());
        contents.unzipped = contents.unzipped.saturating_add(size);
        Node::File(match fs_err::File::open(path) {
            Ok(file) if is_manifest(&name) => match budget.small(file, size, MANIFEST_LIMIT) {
                Ok(bytes) => {
                    contents.manifest = parse_manifest(&bytes);
                    Content::Data
                }
                Err(why) => Content::Unreadable(why),
            },
            Ok(file) => budget.classify(file, size),
            Err(error) => Content::Unreadable(error.to_string()),
        })
    };
    contents.entries.push(Entry { name, mode: metadata.map(|metadata| metadata.permissions().mode() & 0o7777), node });
}
