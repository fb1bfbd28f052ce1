//! The shared store: finished steps in a bucket, so that what one machine has compiled no other compiles again.
//!
//! ```text
//! PREFIX/steps/KEY.tar.gz    one object a step, its metadata `sha256` the digest of its bytes
//! ```
//!
//! An object and its digest appear in one call, whole or not at all. Nothing here is ever fatal but this machine's own
//! disk: a store that cannot be reached, read or written is said once and then left alone.

mod bucket;
mod location;
mod patience;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aws_config::SdkConfig;

pub use location::{Location, NotALocation};
pub use patience::Patience;

use crate::archive::{self, ArchiveError};
use crate::digest::Digest;
use crate::progress::{Event, Reporter, Way};
use bucket::{Bucket, Put, Trouble};

/// What this machine may do with the shared store, whatever its credentials would allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadWrite,
    ReadOnly,
}

/// An opened shared store; several threads may use it at once.
pub struct Remote {
    bucket: Bucket,
    access: Access,
    state: Mutex<State>,
}

/// What was learnt about it in this run.
struct State {
    reads: bool,
    writes: bool,
    /// Keys whose objects are there and whole.
    there: BTreeSet<Digest>,
    /// Keys whose objects are there and of no use.
    damaged: BTreeSet<Digest>,
    /// Those of them that this machine may not replace.
    stuck: BTreeSet<Digest>,
}

/// A step's name for people, and the key that its output is known by.
#[derive(Clone, Copy, Debug)]
pub struct Named<'n> {
    pub step: &'n str,
    pub key: &'n Digest,
}

impl Named<'_> {
    fn object(&self) -> String {
        format!("steps/{}.tar.gz", self.key)
    }
}

impl Remote {
    /// Over the AWS configuration of this machine. Makes no call: whether anything answers shows when it is first asked.
    pub fn open(location: Location, access: Access, patience: Patience) -> io::Result<Self> {
        Ok(Self::of(Bucket::open(location, patience)?, access))
    }

    /// Over a given configuration, for callers that bring their own.
    pub fn over(config: &SdkConfig, location: Location, access: Access, patience: Patience) -> io::Result<Self> {
        Ok(Self::of(Bucket::over(config, location, patience)?, access))
    }

    fn of(bucket: Bucket, access: Access) -> Self {
        let writes = access == Access::ReadWrite;
        let state =
            State { reads: true, writes, there: BTreeSet::new(), damaged: BTreeSet::new(), stuck: BTreeSet::new() };
        Self { bucket, access, state: Mutex::new(state) }
    }

    /// Brings a step's output into `draft`, an empty folder of the caller's, and says where in it the whole tree is: none
    /// if there is none, or none that can be had. Fails only when this machine cannot write.
    pub fn pull(&self, named: Named<'_>, draft: &Path, reporter: &dyn Reporter) -> io::Result<Option<PathBuf>> {
        let Named { step, key } = named;
        let state = self.state();
        if !state.reads || state.damaged.contains(key) {
            return Ok(None);
        }
        drop(state);
        let start = Instant::now();
        let archive = draft.join("pulled.tar.gz");
        let begun = || reporter.event(Event::MoveStarted { step: step.to_owned(), way: Way::Pull });
        let ended = || reporter.event(Event::MoveEnded { step: step.to_owned(), way: Way::Pull });
        let brought = match self.bucket.get(&named.object(), &archive, &begun) {
            Ok(Some(brought)) => brought,
            Ok(None) => return Ok(None),
            Err(Trouble::Here(cause)) => return Err(cause),
            Err(trouble) => {
                ended();
                // What broke off may lie there, or nothing.
                let _ = fs_err::remove_file(&archive);
                self.lose(Way::Pull, &trouble, reporter);
                return Ok(None);
            }
        };
        let tree = draft.join("pulled");
        let unpacked = match brought.promised {
            Some(promised) if promised == brought.found => unpack(&archive, &tree),
            Some(promised) => Err(Damage::Bytes(format!("sha256 {promised} promised, {} found", brought.found))),
            None => Err(Damage::Bytes("no sha256 beside it".to_owned())),
        };
        fs_err::remove_file(&archive)?;
        match unpacked {
            Ok(()) => {
                self.state().there.insert(*key);
                let (step, size) = (step.to_owned(), brought.size);
                reporter.event(Event::Moved { step, way: Way::Pull, size, elapsed: start.elapsed() });
                Ok(Some(tree))
            }
            Err(Damage::Here(cause)) => Err(cause),
            Err(Damage::Bytes(why)) => {
                ended();
                let _ = fs_err::remove_dir_all(&tree);
                self.state().damaged.insert(*key);
                let then = match self.access {
                    Access::ReadWrite => "it is built anew and replaced",
                    Access::ReadOnly => "it is built anew here",
                };
                let place = self.bucket.location().object(&named.object());
                reporter.event(Event::Warning {
                    text: format!("{step} in the shared store is damaged ({place}: {why}); {then}"),
                });
                Ok(None)
            }
        }
    }

    /// Whether [`Remote::push`] would still send anything for this key.
    pub fn wants(&self, key: &Digest) -> bool {
        let state = self.state();
        state.writes && !state.there.contains(key) && !state.stuck.contains(key)
    }

    /// Sends a step's output unless it is there; `draft` is an empty folder of the caller's.
    pub fn push(&self, named: Named<'_>, tree: &Path, draft: &Path, reporter: &dyn Reporter) {
        if !self.wants(named.key) {
            return;
        }
        let start = Instant::now();
        match self.send(named, tree, draft, reporter) {
            Ok(sent) => {
                let mut state = self.state();
                state.damaged.remove(named.key);
                state.there.insert(*named.key);
                drop(state);
                if let Some(size) = sent {
                    let step = named.step.to_owned();
                    reporter.event(Event::Moved { step, way: Way::Push, size, elapsed: start.elapsed() });
                } else {
                    reporter.event(Event::MoveEnded { step: named.step.to_owned(), way: Way::Push });
                }
            }
            Err(trouble) => {
                reporter.event(Event::MoveEnded { step: named.step.to_owned(), way: Way::Push });
                let damaged = self.state().damaged.contains(named.key);
                match trouble {
                    Trouble::Refused { status: 400..=499, .. } if damaged => self.leave(named, &trouble, reporter),
                    trouble => self.lose(Way::Push, &trouble, reporter),
                }
            }
        }
    }

    /// A bucket whose objects are written once refuses to have one replaced, and takes new ones all the same.
    fn leave(&self, named: Named<'_>, trouble: &Trouble, reporter: &dyn Reporter) {
        self.state().stuck.insert(*named.key);
        let (step, place) = (named.step, self.bucket.location().object(&named.object()));
        reporter.event(Event::Warning {
            text: format!("{step} in the shared store stays damaged: {trouble}; remove {place} by hand"),
        });
    }

    /// The bytes that were sent; none if the object was there, or came there meanwhile.
    fn send(
        &self,
        named: Named<'_>,
        tree: &Path,
        draft: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Option<u64>, Trouble> {
        let name = named.object();
        let put = if self.state().damaged.contains(named.key) { Put::Replace } else { Put::New };
        if put == Put::New {
            match self.bucket.holds(&name) {
                Ok(true) => return Ok(None),
                // Who may write and not look sends it: the condition of that call decides.
                Ok(false) | Err(Trouble::Refused { status: 403, .. }) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        reporter.event(Event::MoveStarted { step: named.step.to_owned(), way: Way::Push });
        let archive = draft.join("pushed.tar.gz");
        archive::stow(tree, &archive).map_err(io::Error::other)?;
        let sha256 = Digest::of_file(&archive)?;
        let size = fs_err::metadata(&archive)?.len();
        let sent = self.bucket.put(&name, &archive, sha256, put);
        let _ = fs_err::remove_file(&archive);
        Ok(sent?.then_some(size))
    }

    /// Says once what does not work, and does not try it again: a build must not wait for it step after step.
    fn lose(&self, way: Way, trouble: &Trouble, reporter: &dyn Reporter) {
        let place = self.bucket.location();
        let mut state = self.state();
        let text = match (way, trouble) {
            (_, Trouble::Interrupted) => return,
            (_, Trouble::Unreachable(_) | Trouble::NoCredentials(_) | Trouble::Slow | Trouble::OtherRegion(_))
                if state.reads =>
            {
                (state.reads, state.writes) = (false, false);
                format!("the shared store {place} cannot be used: {trouble}; the build goes on without it")
            }
            (Way::Pull, _) if state.reads => {
                state.reads = false;
                format!(
                    "the shared store {place} cannot be read: {trouble}; the build goes on without it (it needs \
                     s3:GetObject, and s3:ListBucket, without which S3 refuses what is only missing)"
                )
            }
            (Way::Push, _) if state.writes => {
                state.writes = false;
                format!(
                    "the shared store {place} cannot be written: {trouble}; what is made here stays here (it needs \
                     s3:PutObject; --store-readonly does not try)"
                )
            }
            // Another thread has said it.
            _ => return,
        };
        drop(state);
        reporter.event(Event::Warning { text });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a pulled archive gave no tree.
enum Damage {
    Bytes(String),
    Here(io::Error),
}

fn unpack(archive: &Path, into: &Path) -> Result<(), Damage> {
    archive::unpack(archive, into, 0).map_err(|error| match error {
        ArchiveError::NoSpace { .. } => Damage::Here(io::ErrorKind::StorageFull.into()),
        ArchiveError::Io { source, .. } => Damage::Here(source),
        ArchiveError::Refused { entry, fault, .. } => Damage::Bytes(format!("`{entry}` {fault}")),
        _ => Damage::Bytes("no whole archive".to_owned()),
    })
}
