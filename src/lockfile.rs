//! `phplayer.lock`: exact versions and digests, so that a recipe means the same tomorrow.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The lock's file name, beside the recipe. All recipes of a folder share it.
pub const FILE_NAME: &str = "phplayer.lock";

/// What is locked, by `php:SERIES`, `lib:NAME` and `ext:NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lockfile {
    /// The form of this file: 1.
    pub version: u32,
    pub locked: BTreeMap<String, Locked>,
}

/// One exact version, and every digest under which its source may come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    pub version: String,
    pub sha256: Vec<Digest>,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LockfileError {
    #[error("{} is not a lock file: {message}", file.display())]
    #[diagnostic(help("`phplayer lock` writes it anew"))]
    Unreadable { file: PathBuf, message: String },
    #[error("{} has form {version}; this phplayer reads form 1", file.display())]
    #[diagnostic(help(
        "it was written by a newer phplayer: use that one, or write the lock anew with `phplayer lock`"
    ))]
    Newer { file: PathBuf, version: u32 },
    #[error(transparent)]
    #[diagnostic(help("check the folder's permissions"))]
    Io(#[from] std::io::Error),
}

impl Lockfile {
    pub fn path_beside(recipe: &Path) -> PathBuf {
        recipe.parent().unwrap_or(Path::new(".")).join(FILE_NAME)
    }

    /// The lock beside a recipe; none is no mistake.
    pub fn beside(recipe: &Path) -> Result<Option<Self>, LockfileError> {
        let file = Self::path_beside(recipe);
        let text = match fs_err::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let lock: Self = toml::from_str(&text)
            .map_err(|error| LockfileError::Unreadable { file: file.clone(), message: error.message().to_owned() })?;
        if lock.version != 1 {
            return Err(LockfileError::Newer { file, version: lock.version });
        }
        Ok(Some(lock))
    }

    /// Sorted, one entry a block: made to be read in a diff.
    pub fn write(&self, file: &Path) -> Result<(), LockfileError> {
        let body = toml::to_string_pretty(self)
            .map_err(|error| LockfileError::Unreadable { file: file.to_owned(), message: error.to_string() })?;
        let text =
            format!("# Written by `phplayer lock`. Exact versions; commit this file beside the recipes.\n{body}");
        if fs_err::read_to_string(file).is_ok_and(|old| old == text) {
            return Ok(());
        }
        let folder = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // It is committed and read by others: a temporary file is its maker's alone.
        let mode = PermissionsExt::from_mode(0o644);
        let mut draft = tempfile::Builder::new().permissions(mode).tempfile_in(folder)?;
        std::io::Write::write_all(&mut draft, text.as_bytes())?;
        draft.persist(file).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let recipe = dir.path().join("phplayer.toml");
        assert_eq!(Lockfile::beside(&recipe).expect("no lock is fine"), None);
        let locked = Locked { version: "8.4.24".to_owned(), sha256: vec![Digest::of(b"php")] };
        let lock = Lockfile { version: 1, locked: BTreeMap::from([("php:8.4".to_owned(), locked)]) };
        lock.write(&Lockfile::path_beside(&recipe)).expect("written");
        let mode = fs_err::metadata(dir.path().join(FILE_NAME)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "others read it too");
        assert_eq!(Lockfile::beside(&recipe).expect("read"), Some(lock));
    }

    #[test]
    fn a_newer_form_and_a_broken_file_are_told_apart() {
        let dir = tempfile::tempdir().expect("a folder");
        let recipe = dir.path().join("phplayer.toml");
        fs_err::write(dir.path().join(FILE_NAME), "version = 2\n[locked]\n").expect("written");
        assert!(matches!(Lockfile::beside(&recipe), Err(LockfileError::Newer { version: 2, .. })));
        fs_err::write(dir.path().join(FILE_NAME), "version = ").expect("written");
        assert!(matches!(Lockfile::beside(&recipe), Err(LockfileError::Unreadable { .. })));
    }
}
