//! Looks after a folder's files, so that a change in the function's code is seen without being told.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How often the files are looked at. A folder that takes long to look through is looked at less often.
const INTERVAL: Duration = Duration::from_millis(500);
/// At most this share of a core's time goes into it: one part in so many.
const SHARE: u32 = 20;
/// Folders that no one edits, and that can be large.
const SKIPPED: [&str; 3] = ["vendor", ".git", "node_modules"];

/// Each file's time and size.
type Seen = HashMap<PathBuf, (SystemTime, u64)>;

/// Watches until dropped.
pub struct Watch {
    /// The first file that was found changed since [`Watch::changed`] was last asked.
    changed: Arc<Mutex<Option<PathBuf>>>,
}

impl Watch {
    /// From now on, every file under `folder` but those in `vendor`, `.git` and `node_modules`.
    pub fn start(folder: &Path) -> Self {
        let folder = folder.to_owned();
        let mut before = look(&folder);
        let changed = Arc::new(Mutex::new(None));
        let known = Arc::downgrade(&changed);
        thread::spawn(move || {
            let mut pause = INTERVAL;
            loop {
                thread::sleep(pause);
                let Some(changed) = known.upgrade() else { return };
                let started = Instant::now();
                let now = look(&folder);
                if let Some(path) = difference(&before, &now) {
                    let path = path.strip_prefix(&folder).unwrap_or(path).to_owned();
                    changed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(path);
                }
                before = now;
                pause = INTERVAL.max(started.elapsed() * SHARE);
            }
        });
        Self { changed }
    }

    /// A file that has changed, come or gone since this was last asked, relative to the folder.
    pub fn changed(&self) -> Option<PathBuf> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What cannot be read now is not there.
fn look(folder: &Path) -> Seen {
    let skipped = |name: &str| SKIPPED.contains(&name);
    walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || !entry.file_name().to_str().is_some_and(skipped))
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_type().is_dir())
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some((entry.into_path(), (metadata.modified().ok()?, metadata.len())))
        })
        .collect()
}

/// One file that is in the two in different ways; the first by name, so that the answer is always the same.
fn difference<'a>(before: &'a Seen, now: &'a Seen) -> Option<&'a Path> {
    let other = now.iter().filter(|(path, seen)| before.get(*path) != Some(seen));
    let gone = before.iter().filter(|(path, _)| !now.contains_key(*path));
    other.chain(gone).map(|(path, _)| path.as_path()).min()
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn changes_are_found_and_vendor_is_not_looked_at() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for folder in ["src", "vendor", ".git", "src/vendor"] {
            fs::create_dir(path(folder)).unwrap();
        }
        fs::write(path("src/a.php"), "1").unwrap();
        let before = look(home.path());
        for name in ["vendor/x.php", ".git/x", "src/vendor/x.php"] {
            fs::write(path(name), "1").unwrap();
        }
        assert_eq!(difference(&before, &look(home.path())), None);
        fs::write(path("src/a.php"), "12").unwrap();
        assert_eq!(difference(&before, &look(home.path())), Some(path("src/a.php").as_path()));
        fs::write(path("b.php"), "").unwrap();
        assert_eq!(difference(&before, &look(home.path())), Some(path("b.php").as_path()));
        let before = look(home.path());
        fs::remove_file(path("b.php")).unwrap();
        assert_eq!(difference(&before, &look(home.path())), Some(path("b.php").as_path()));
    }

    #[test]
    fn a_change_is_told_once() {
        let home = tempfile::tempdir().unwrap();
        let watch = Watch::start(home.path());
        fs::write(home.path().join("index.php"), "<?php").unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        let told = loop {
            match watch.changed() {
                None if Instant::now() < end => thread::sleep(Duration::from_millis(20)),
                told => break told,
            }
        };
        assert_eq!(told, Some(PathBuf::from("index.php")));
        assert_eq!(watch.changed(), None);
    }
}
