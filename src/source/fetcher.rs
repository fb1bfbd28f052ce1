//! Asking the places in turn, and letting a file into the store only when it is the right one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, OnceLock};
use std::time::Duration;

use super::debian::Debian;
use super::http::Http;
use super::place::Stage;
use super::{
    Alternative, Attempt, Fetched, Pinned, Place, Reason, Setback, SignatureBy, SourceError, last_part, only_file,
    python, signature,
};
use crate::digest::Digest;
use crate::progress::{Event, Reporter};

/// Gets sources into `<store>/sources/<sha256>/<file name>`.
///
/// One fetcher serves one run: it remembers which hosts do not answer, so that they are waited for once.
pub struct Fetcher {
    store: PathBuf,
    sources_dir: Option<PathBuf>,
    mirror: Option<String>,
    offline: bool,
    http: Http,
    debian: Debian,
    /// Digests of what is in `sources_dir`, made when a file is not there under its name.
    folder: OnceLock<Vec<(Digest, PathBuf)>>,
    swept: Once,
}

/// How far a download has got to be before it is told again, in bytes.
const TELL_EVERY: u64 = 256 * 1024;

impl Fetcher {
    /// Below `store` a folder `sources` is made when something is fetched.
    pub fn new(store: impl Into<PathBuf>) -> Self {
        Self {
            store: store.into(),
            sources_dir: None,
            mirror: None,
            offline: false,
            http: Http::new(),
            debian: Debian::default(),
            folder: OnceLock::new(),
            swept: Once::new(),
        }
    }

    /// A folder of files (`PHPLAYER_SOURCES`), taken before anything is downloaded, by name or by digest.
    pub fn sources_dir(self, folder: Option<PathBuf>) -> Self {
        Self { sources_dir: folder, ..self }
    }

    /// An address below which files lie under their own names (`PHPLAYER_MIRROR`).
    pub fn mirror(self, address: Option<String>) -> Self {
        Self { mirror: address, ..self }
    }

    /// With `true` only the store and the folder of files are asked.
    pub fn offline(self, offline: bool) -> Self {
        Self { offline, ..self }
    }

    /// The file in the store, if it is there and whole; nothing is fetched and nothing is told.
    pub fn stored(&self, pinned: &Pinned) -> Option<Fetched> {
        pinned.alternatives.iter().find_map(|alternative| {
            let path = only_file(&self.shelf(alternative.sha256))?;
            let whole = Digest::of_file(&path).is_ok_and(|found| found == alternative.sha256);
            whole.then_some(Fetched { path, sha256: alternative.sha256 })
        })
    }

    /// Fetches all of them, a few at a time, in the order given. Goes on after an error, so that all of them are told at once.
    pub fn fetch_all(&self, all: &[Pinned], reporter: &dyn Reporter) -> Result<Vec<Fetched>, SourceError> {
        const THREADS: usize = 4;
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..THREADS.min(all.len()) {
                scope.spawn(|| {
                    while let Some((index, pinned)) =
                        Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|index| Some((index, all.get(index)?)))
                    {
                        let result = self.fetch(pinned, reporter);
                        results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((index, result));
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        results.sort_by_key(|(index, _)| *index);
        let (mut fetched, mut errors) = (Vec::new(), Vec::new());
        for (_, result) in results {
            match result {
                Ok(one) => fetched.push(one),
                Err(error) => errors.push(error),
            }
        }
        match errors.len() {
            0 => Ok(fetched),
            1 => Err(errors.remove(0)),
            _ => Err(SourceError::Several { errors }),
        }
    }

    /// Asks the places in turn until one has the file: the store, the folder, upstream, the mirror, Debian's pool, pip.
    pub fn fetch(&self, pinned: &Pinned, reporter: &dyn Reporter) -> Result<Fetched, SourceError> {
        let name = format!("{} {}", pinned.name, pinned.version);
        let mut tried = Vec::new();
        let stages = if self.offline { &Stage::ALL[..2] } else { &Stage::ALL[..] };
        for stage in stages {
            for alternative in &pinned.alternatives {
                for place in self.places(*stage, alternative) {
                    let reason = match self.attempt(&name, alternative, &place, reporter) {
                        Ok(path) => return Ok(Fetched { path, sha256: alternative.sha256 }),
                        Err(Setback::Here(error)) => return Err(*error),
                        Err(Setback::There(reason)) => reason,
                    };
                    tried.push(Attempt { place, expected: alternative.sha256, reason });
                }
            }
        }
        Err(SourceError::nowhere(name, pinned, tried, self.offline))
    }

    /// The places of one kind that may have the file.
    fn places(&self, stage: Stage, alternative: &Alternative) -> Vec<Place> {
        match stage {
            Stage::Store => vec![Place::Store(self.shelf(alternative.sha256))],
            Stage::Folder => self.sources_dir.iter().map(|folder| Place::Folder(folder.clone())).collect(),
            Stage::Upstream => alternative.urls.iter().cloned().map(Place::Upstream).collect(),
            Stage::Mirror => {
                let names = |mirror: &String| {
                    let mirror = mirror.trim_end_matches('/').to_owned();
                    alternative.file_names().into_iter().map(move |name| Place::Mirror(format!("{mirror}/{name}")))
                };
                self.mirror.iter().flat_map(names).collect()
            }
            Stage::Debian => alternative.debian.iter().flat_map(|file| self.debian.places(file)).collect(),
            Stage::Python => alternative.python.iter().cloned().map(Place::Python).collect(),
        }
    }

    /// Gets the file from one place into the store.
    fn attempt(
        &self,
        name: &str,
        alternative: &Alternative,
        place: &Place,
        reporter: &dyn Reporter,
    ) -> Result<PathBuf, Setback> {
        if let Place::Store(shelf) = place {
            let path = only_file(shelf).ok_or(Reason::Absent)?;
            let checked = self.check(&path, alternative.sha256);
            if checked.is_err() {
                // It would be found again each time. Where it cannot be removed, it cannot be replaced either, and that is told.
                let _ = fs_err::remove_file(&path);
                reporter.event(Event::Warning { text: format!("{name}: damaged in the store, so it is fetched anew") });
            }
            return checked.map(|()| path);
        }
        if let Place::DebianUnknown(reason) = place {
            return Err(reason.clone().into());
        }
        if let Place::Folder(folder) = place {
            // Looked for before anything is told: most folders do not hold everything.
            let found = self.in_folder(folder, alternative)?;
            return self.admit(name, alternative, place, reporter, |into| {
                let target = into.join(found.file_name().unwrap_or_default());
                copy(&found, &target)?;
                Ok(target)
            });
        }
        reporter.event(Event::FetchStarted { name: name.to_owned(), place: place.to_string() });
        self.admit(name, alternative, place, reporter, |into| match place {
            Place::Upstream(url) | Place::Mirror(url) => {
                let target = into.join(last_part(url));
                let mut told = 0;
                self.http.download(url, &target, &mut |done, total| {
                    if done >= told + TELL_EVERY || Some(done) == total {
                        told = done;
                        reporter.event(Event::FetchProgress { name: name.to_owned(), done, total });
                    }
                })?;
                Ok(target)
            }
            Place::Debian(url) => {
                let target = into.join(last_part(url));
                self.debian.download(url, &target)?;
                Ok(target)
            }
            Place::Python(requirement) => python::download(requirement, into),
            Place::Store(_) | Place::Folder(_) | Place::DebianUnknown(_) => Err(Reason::Absent.into()),
        })
    }

    /// Lets `get` write into a private folder inside the store, and moves the file to its shelf once its digest and its
    /// signature hold. Whatever goes wrong, the private folder goes away with all that is in it.
    fn admit(
        &self,
        name: &str,
        alternative: &Alternative,
        place: &Place,
        reporter: &dyn Reporter,
        get: impl FnOnce(&Path) -> Result<PathBuf, Setback>,
    ) -> Result<PathBuf, Setback> {
        let private = self.private_folder()?;
        let file = get(private.path())?;
        self.check(&file, alternative.sha256)?;
        if let Some(by) = &alternative.signature {
            self.check_signature(name, by, &file, place, reporter)?;
        }
        let size = fs_err::metadata(&file).map_err(|source| self.unwritable(source))?.len();
        let shelf = self.shelf(alternative.sha256);
        fs_err::create_dir_all(&shelf).map_err(|source| self.unwritable(source))?;
        let path = shelf.join(file.file_name().unwrap_or_default());
        // Another process may have put the same file there: then one whole file replaces another.
        fs_err::rename(&file, &path).map_err(|source| self.unwritable(source))?;
        reporter.event(Event::Fetched { name: name.to_owned(), size, place: place.to_string() });
        Ok(path)
    }

    fn check(&self, file: &Path, expected: Digest) -> Result<(), Setback> {
        let found = Digest::of_file(file).map_err(|source| Reason::Unreadable(source.to_string()))?;
        if found == expected { Ok(()) } else { Err(Reason::Mismatch { found }.into()) }
    }

    /// A signature that is there must hold. One that is missing is only told: the digest is pinned all the same.
    fn check_signature(
        &self,
        name: &str,
        by: &SignatureBy,
        file: &Path,
        place: &Place,
        reporter: &dyn Reporter,
    ) -> Result<(), Setback> {
        let target = file.with_added_extension("asc");
        let had = match place {
            Place::Folder(folder) => {
                let beside = folder.join(file.file_name().unwrap_or_default()).with_added_extension("asc");
                copy(&beside, &target)
            }
            Place::Upstream(url) | Place::Mirror(url) => {
                self.http.download(&format!("{url}.asc"), &target, &mut |_, _| {})
            }
            Place::Debian(url) => self.debian.download(&format!("{url}.asc"), &target),
            Place::Store(_) | Place::Python(_) | Place::DebianUnknown(_) => Err(Reason::Absent.into()),
        };
        match had {
            Ok(()) => {}
            Err(setback @ Setback::Here(_)) => return Err(setback),
            Err(Setback::There(reason)) => {
                let text = format!("{name}: no signature came with it ({reason}); its pinned digest holds");
                reporter.event(Event::Warning { text });
                return Ok(());
            }
        }
        let signer = signature::verify(by, file, &target).map_err(|fault| SourceError::BadSignature {
            name: name.to_owned(),
            place: place.clone(),
            key: by.to_string(),
            fault,
        })?;
        reporter.event(Event::Done { verb: "Verify", text: format!("{name}: signed by {signer}") });
        Ok(())
    }

    /// The file of that name, or any file of that digest.
    fn in_folder(&self, folder: &Path, alternative: &Alternative) -> Result<PathBuf, Setback> {
        let named = alternative.file_names().into_iter().map(|name| folder.join(name)).find(|path| path.is_file());
        if let Some(path) = &named
            && self.check(path, alternative.sha256).is_ok()
        {
            return Ok(path.clone());
        }
        let contents = fs_err::read_dir(folder).map_err(|source| Reason::Unreadable(source.to_string()))?;
        let all = self.folder.get_or_init(|| {
            let files = contents.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file());
            files.filter_map(|path| Some((Digest::of_file(&path).ok()?, path))).collect()
        });
        match (all.iter().find(|(digest, _)| *digest == alternative.sha256), named) {
            (Some((_, path)), _) => Ok(path.clone()),
            (None, Some(path)) => {
                let found = Digest::of_file(&path).map_err(|source| Reason::Unreadable(source.to_string()))?;
                Err(Reason::Mismatch { found }.into())
            }
            (None, None) => Err(Reason::Absent.into()),
        }
    }

    fn sources(&self) -> PathBuf {
        self.store.join("sources")
    }

    fn shelf(&self, sha256: Digest) -> PathBuf {
        self.sources().join(sha256.to_string())
    }

    /// A folder inside the store, so that moving out of it is one rename, which a process running beside us never shares.
    fn private_folder(&self) -> Result<tempfile::TempDir, SourceError> {
        let sources = self.sources();
        fs_err::create_dir_all(&sources).map_err(|source| self.unwritable(source))?;
        self.swept.call_once(|| sweep(&sources));
        tempfile::Builder::new().prefix(PRIVATE).tempdir_in(&sources).map_err(|source| self.unwritable(source))
    }

    fn unwritable(&self, source: std::io::Error) -> SourceError {
        SourceError::writing(&self.sources(), source)
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Setback> {
    let mut reader = fs_err::File::open(from).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Reason::Absent,
        _ => Reason::Unreadable(source.to_string()),
    })?;
    let wrong = |source| SourceError::writing(to, source);
    let mut writer = fs_err::File::create(to).map_err(wrong)?;
    std::io::copy(&mut reader, &mut writer).map_err(wrong)?;
    Ok(())
}

const PRIVATE: &str = ".fetch-";

/// Removes what killed processes left behind. A day old, because a younger one may be at work.
fn sweep(sources: &Path) {
    let Ok(entries) = fs_err::read_dir(sources) else { return };
    for entry in entries.filter_map(Result::ok) {
        let private = entry.file_name().to_string_lossy().starts_with(PRIVATE);
        let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|time| time.elapsed().ok());
        if private && age.is_some_and(|age| age > Duration::from_secs(24 * 3600)) {
            // Another process may sweep at the same time: whichever comes second finds nothing.
            let _ = fs_err::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
