//! Where one of the three runs: folders of its own, its sandbox, the moment of its exec, what it logged.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fs_err as fs;

use super::BenchError;
use super::moment::Moment;
use super::processes::{self, Process};
use super::role::{self, Role};
use crate::emulator::sandbox::{Places, Sandbox};
use crate::emulator::{EmulatorError, Exit, Function, LogSink, environment, unpack};
use crate::process;

/// How many of the log's last lines an error shows.
const LAST_LINES: usize = 15;
/// How long bubblewrap has to make a sandbox.
const SANDBOX_LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// A function unpacked for one role. Each role has its own: a file that two of them map would make each look smaller.
pub struct Stage {
    role: Role,
    places: Places,
}

/// One start of what the stage is for. Dropping it ends every process of it.
pub struct Running {
    sandbox: Sandbox,
    heard: Heard,
    /// When the starter handed over to what is measured.
    pub exec: Moment,
}

/// What a sandbox told so far.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    log: VecDeque<String>,
    exit: Option<Exit>,
}

impl Stage {
    /// `executable` is phplayer itself, which is put beside the layers.
    pub fn new(role: Role, function: &Function, executable: &Path) -> Result<Self, BenchError> {
        if !function.task.is_dir() {
            return Err(EmulatorError::TaskMissing { task: function.task.clone() }.into());
        }
        let places = Places::new(&function.task)?;
        if role != Role::Floor {
            unpack::merge(&function.layers, &places.opt(), unpack::size(&places.task))?;
        }
        let folder = places.opt().join("phplayer-bench");
        let set_up = || {
            fs::create_dir_all(&folder)?;
            let own = folder.join("phplayer");
            // A second name costs nothing where it can be had.
            if fs::hard_link(executable, &own).is_err() {
                fs::copy(executable, &own)?;
            }
            for role in Role::ALL {
                fs_err::os::unix::fs::symlink("phplayer", folder.join(role.name()))?;
            }
            Ok(())
        };
        set_up().map_err(BenchError::io("put phplayer into the sandbox"))?;
        Ok(Self { role, places })
    }

    /// The bootstrap, as the sandbox finds it.
    pub fn bootstrap(&self) -> Option<PathBuf> {
        let places = [self.places.task.join("bootstrap"), self.places.opt().join("bootstrap")];
        places.into_iter().find(|path| fs::symlink_metadata(path).is_ok())
    }

    /// Whether the layers bring a php-fpm that can be called without a runtime.
    pub fn has_php_fpm(&self) -> bool {
        [role::PHP, role::FPM_CONF].iter().all(|path| self.seen_from_here(path).is_file())
    }

    /// Where a path of the sandbox below `/opt` or `/tmp` is on this machine.
    pub fn seen_from_here(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("/opt/"), path.strip_prefix("/tmp/")) {
            (Some(rest), _) => self.places.opt().join(rest),
            (_, Some(rest)) => self.places.tmp().join(rest),
            _ => PathBuf::from(path),
        }
    }

    /// Starts the sandbox and waits until what is measured is executed.
    pub fn start(&self, environment: &BTreeMap<String, String>) -> Result<Running, BenchError> {
        let heard = Heard::default();
        let (sender, started) = channel();
        let told = heard.clone();
        let ended = move |exit| told.told().exit = Some(exit);
        let sandbox = Sandbox::start(&self.places, &self.role.path(), environment, heard.sink(sender), ended)?;
        let exec = wait_for_exec(&started, &sandbox, &heard)?;
        Ok(Running { sandbox, heard, exec })
    }

    /// What Lambda sets for the function.
    pub fn environment(function: &Function, api: std::net::SocketAddr) -> BTreeMap<String, String> {
        environment::of(function, api, "bench", "bench")
    }
}

impl Running {
    /// An error once the user wants to end, or its processes have ended.
    pub fn check(&self) -> Result<(), BenchError> {
        if process::interrupted() {
            return Err(EmulatorError::Interrupted.into());
        }
        // Let go before the log is read.
        let exit = self.heard.told().exit;
        match exit {
            Some(exit) => Err(BenchError::Ended { exit, log: self.last_lines() }),
            None => Ok(()),
        }
    }

    pub fn last_lines(&self) -> Vec<String> {
        self.sandbox.flush_log();
        self.heard.told().log.iter().cloned().collect()
    }

    pub fn processes(&self) -> Vec<Process> {
        self.sandbox.processes().unwrap_or_default().into_iter().filter_map(processes::look).collect()
    }
}

impl Heard {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        // Each change is whole in itself: a panicked thread leaves nothing half-made.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sink(&self, started: Sender<Moment>) -> LogSink {
        let heard = self.clone();
        Arc::new(move |line: &str| {
            let moment = line.strip_prefix(role::STARTED).and_then(|count| count.parse().ok());
            if let Some(moment) = moment {
                // Nobody waits for a second one.
                let _ = started.send(Moment::of_nanoseconds(moment));
                return;
            }
            let mut told = heard.told();
            told.log.push_back(line.to_owned());
            if told.log.len() > LAST_LINES {
                told.log.pop_front();
            }
        })
    }
}

fn wait_for_exec(started: &Receiver<Moment>, sandbox: &Sandbox, heard: &Heard) -> Result<Moment, BenchError> {
    let begun = Moment::now();
    loop {
        if let Ok(moment) = started.recv_timeout(LOOK) {
            return Ok(moment);
        }
        if process::interrupted() {
            return Err(EmulatorError::Interrupted.into());
        }
        let exit = heard.told().exit;
        if let Some(exit) = exit {
            return Err(match sandbox.complaint() {
                Some(reason) => EmulatorError::SandboxRefused { reason }.into(),
                None => BenchError::Ended { exit, log: heard.told().log.iter().cloned().collect() },
            });
        }
        if Moment::now().since(begun) > SANDBOX_LIMIT {
            return Err(BenchError::io("make a sandbox")(io::ErrorKind::TimedOut.into()));
        }
    }
}
