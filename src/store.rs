//! The content-addressed store: sources, unpacked trees, step outputs. What is in it is whole, whoever was killed when.
//!
//! ```text
//! sources/SHA256/FILE      verified downloads
//! trees/SHA256/            the same, unpacked
//! steps/KEY/{tree,inputs}  finished outputs, and what they were made of
//! logs/STEP-KEY.log        what the last run of a step said
//! locks/NAME               held while something is being made
//! tmp/NAME/                work in progress; swept when nobody holds its lock
//! ```

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;
use crate::progress::{Event, Reporter};

/// An opened store. Several processes may have it open at once.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum StoreError {
    #[error("the store {} cannot be written", root.display())]
    #[diagnostic(help("give another folder with --store or PHPLAYER_STORE, or mend this one's permissions"))]
    Unwritable {
        root: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("no space is left for the store {}", root.display())]
    #[diagnostic(help(
        "a recipe's build wants about 2 GB: free some, or give another folder with --store or PHPLAYER_STORE"
    ))]
    Full { root: PathBuf },
    #[error("there is no home for the store: neither PHPLAYER_STORE, XDG_CACHE_HOME nor HOME is set")]
    #[diagnostic(help("name a folder with --store"))]
    Homeless,
}

impl StoreError {
    fn of(root: &Path, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { root: root.to_owned() },
            _ => Self::Unwritable { root: root.to_owned(), cause },
        }
    }
}

/// Held while something is made; released when dropped, or when its process ends in any way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Store {
    /// `PHPLAYER_STORE`, else `$XDG_CACHE_HOME/phplayer`, else `~/.cache/phplayer`.
    pub fn default_root() -> Result<PathBuf, StoreError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // An address there names a shared store, which stands beside the folder here.
        set("PHPLAYER_STORE")
            .filter(|folder| !folder.to_string_lossy().contains("://"))
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("phplayer")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/phplayer")))
            .ok_or(StoreError::Homeless)
    }

    /// Makes the folders, and sweeps away what a killed process left half done.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let make = || -> io::Result<PathBuf> {
            for folder in ["sources", "trees", "steps", "logs", "locks", "tmp"] {
                fs_err::create_dir_all(root.join(folder))?;
            }
            // Sandboxes see these paths, and a sandbox has no notion of this process's working folder.
            let root = fs_err::canonicalize(root)?;
            tempfile::tempfile_in(root.join("tmp"))?;
            Ok(root)
        };
        let store = Self { root: make().map_err(|cause| StoreError::of(root, cause))? };
        store.sweep();
        Ok(store)
    }

    /// The store as it is, to look into: nothing is made, and one that is not there is an empty one.
    pub fn peek(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Says why a write failed: no space, or no permission.
    pub fn error(&self, cause: io::Error) -> StoreError {
        StoreError::of(&self.root, cause)
    }

    pub fn log(&self, step: &str, key: &Digest) -> PathBuf {
        self.root.join("logs").join(format!("{step}-{}.log", key.short()))
    }

    /// A finished output's tree.
    pub fn step(&self, key: &Digest) -> Option<PathBuf> {
        let tree = self.root.join("steps").join(key.to_string()).join("tree");
        tree.is_dir().then_some(tree)
    }

    /// The unpacked form of a source.
    pub fn source_tree(&self, sha256: &Digest) -> Option<PathBuf> {
        let tree = self.root.join("trees").join(sha256.to_string());
        tree.is_dir().then_some(tree)
    }

    /// Makes a source's unpacked form unless it is there: `fill` gets an empty folder.
    pub fn make_source_tree<E: From<StoreError>>(
        &self,
        sha256: &Digest,
        reporter: &dyn Reporter,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        if let Some(tree) = self.source_tree(sha256) {
            return Ok(tree);
        }
        let name = format!("tree-{}", sha256.short());
        let _lock = self.lock(&name, reporter)?;
        if let Some(tree) = self.source_tree(sha256) {
            return Ok(tree);
        }
        let draft = self.draft(&name)?;
        fill(&draft)?;
        let tree = self.root.join("trees").join(sha256.to_string());
        fs_err::rename(&draft, &tree).map_err(|cause| self.error(cause))?;
        Ok(tree)
    }

    /// Waits until nobody else holds `name`; says so once if it must wait.
    pub fn lock(&self, name: &str, reporter: &dyn Reporter) -> Result<Lock, StoreError> {
        let path = self.root.join("locks").join(name);
        let open = || -> io::Result<File> {
            let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&path)?.into_file();
            if file.try_lock().is_err() {
                reporter.event(Event::Waiting { what: name.to_owned() });
                file.lock()?;
            }
            Ok(file)
        };
        Ok(Lock { _file: open().map_err(|cause| self.error(cause))? })
    }

    /// An empty folder for work in progress. The caller holds the lock of the same name, so the sweep leaves it alone.
    pub fn draft(&self, name: &str) -> Result<PathBuf, StoreError> {
        let draft = self.root.join("tmp").join(name);
        let make = || -> io::Result<()> {
            if draft.exists() {
                fs_err::remove_dir_all(&draft)?;
            }
            fs_err::create_dir_all(&draft)
        };
        make().map_err(|cause| self.error(cause))?;
        Ok(draft)
    }

    /// Takes a finished output in: from here on the step is never run again for this key.
    pub fn keep(&self, key: &Digest, tree: &Path, inputs: &impl Serialize) -> Result<PathBuf, StoreError> {
        let place = self.root.join("steps").join(key.to_string());
        let keep = || -> io::Result<()> {
            let draft = tree.with_extension("kept");
            if draft.exists() {
                fs_err::remove_dir_all(&draft)?;
            }
            fs_err::create_dir_all(&draft)?;
            fs_err::write(draft.join("inputs"), serde_json::to_vec_pretty(inputs)?)?;
            fs_err::rename(tree, draft.join("tree"))?;
            match fs_err::rename(&draft, &place) {
                // Another process was first, under another lock: the same key, so the same output.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) =>
                {
                    fs_err::remove_dir_all(&draft)
                }
                other => other,
            }
        };
        keep().map_err(|cause| self.error(cause))?;
        Ok(place.join("tree"))
    }

    /// What the stored outputs were made of, newest first: to explain why one must be made anew.
    pub fn kept_inputs<T: DeserializeOwned>(&self) -> Vec<T> {
        let Ok(entries) = fs_err::read_dir(self.root.join("steps")) else { return Vec::new() };
        let mut files: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path().join("inputs"))
            .filter_map(|file| Some((fs_err::metadata(&file).ok()?.modified().ok()?, file)))
            .collect();
        files.sort();
        files.iter().rev().filter_map(|(_, file)| serde_json::from_slice(&fs_err::read(file).ok()?).ok()).collect()
    }

    /// Removes drafts whose maker is gone. A draft's lock that can be had has no maker.
    fn sweep(&self) {
        let Ok(drafts) = fs_err::read_dir(self.root.join("tmp")) else { return };
        for draft in drafts.flatten() {
            let name = draft.file_name().to_string_lossy().into_owned();
            let lock = self.root.join("locks").join(name.trim_end_matches(".kept"));
            let orphaned = match fs_err::File::open(&lock) {
                Ok(file) => file.into_file().try_lock().is_ok(),
                Err(_) => false,
            };
            if orphaned {
                let _ = fs_err::remove_dir_all(draft.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn an_output_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path()).expect("opened");
        let key = Digest::of(b"key");
        assert_eq!(store.step(&key), None);
        let lock = store.lock("lib-x", &Silent).expect("free");
        let draft = store.draft("lib-x").expect("made");
        fs_err::write(draft.join("libx.a"), "archive").expect("written");
        let tree = store.keep(&key, &draft, &"inputs").expect("kept");
        assert_eq!(store.step(&key), Some(tree.clone()));
        assert_eq!(fs_err::read_to_string(tree.join("libx.a")).expect("there"), "archive");
        assert_eq!(store.kept_inputs::<String>(), ["inputs"]);
        drop(lock);
    }

    #[test]
    fn of_two_that_keep_the_same_key_the_first_stays_and_both_are_content() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path()).expect("opened");
        let key = Digest::of(b"key");
        let keep = |name: &str| {
            let draft = store.draft(name).expect("made");
            fs_err::write(draft.join("libx.a"), name).expect("written");
            store.keep(&key, &draft, &"inputs").expect("kept")
        };
        assert_eq!(keep("first"), keep("second"));
        let tree = store.step(&key).expect("there");
        assert_eq!(fs_err::read_to_string(tree.join("libx.a")).expect("there"), "first");
        assert_eq!(fs_err::read_dir(dir.path().join("tmp")).expect("a folder").count(), 0, "the second's is gone");
    }

    #[test]
    fn drafts_of_the_dead_are_swept_and_those_of_the_living_are_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path()).expect("opened");
        let living = store.lock("living", &Silent).expect("free");
        store.draft("living").expect("made");
        drop(store.lock("dead", &Silent).expect("free"));
        store.draft("dead").expect("made");
        let again = Store::open(dir.path()).expect("opened");
        assert!(again.root().join("tmp/living").exists());
        assert!(!again.root().join("tmp/dead").exists());
        drop(living);
    }

    #[test]
    fn a_store_that_is_a_file_is_an_error_with_the_way_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("store");
        fs_err::write(&file, "").expect("written");
        assert!(matches!(Store::open(&file), Err(StoreError::Unwritable { .. })));
    }
}
