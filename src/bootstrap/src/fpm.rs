//! php-fpm: one master with one worker, and requests to it.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::FdFlags;
use rustix::process::Pid;

use crate::answer::InitError;
use crate::fastcgi::{self, Decoder, Params, Part};
use crate::invocation::{Patience, START_LIMIT};
use crate::log::{Level, Log};
use crate::output;
use crate::processes;
use crate::settings::{Memory, PHP};
use crate::waiting::ready;

const CONFIG: &str = "/opt/etc/php-fpm.conf";
/// What `listen` is set to in php-fpm.conf. Nothing is made there: it is only the key under which the socket is handed over.
const LISTEN: &str = "/tmp/.phplayer.sock";
/// Where our sockets are: `/tmp/.phplayer-PROCESS-RANDOM.sock`.
const SOCKETS: (&str, &str, &str) = ("/tmp", ".phplayer-", ".sock");
/// How often a wait looks whether the master still lives. A worker's death is seen at once, by its closed connection.
const LOOK: Duration = Duration::from_millis(100);
/// How long a new worker may take after one has died.
const TRIAL: Duration = Duration::from_secs(1);

pub struct Fpm {
    /// Ours for as long as we live: whoever serves it, connecting to it never fails.
    listener: UnixListener,
    socket: Socket,
    master: Child,
    memory: Memory,
    log: Log,
    /// Its last request has cost a worker: there may be no other.
    doubted: bool,
    /// Of every request: a fresh one would have to be cleared.
    buffer: Vec<u8>,
}

/// Where the listener is reached.
struct Socket {
    address: SocketAddr,
    /// None for one without a file.
    file: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// The worker closed the connection before its answer was complete.
    WorkerDied,
    MasterDied(ExitStatus),
    /// It took too long.
    Deadline(Stopped),
    /// php-fpm took no request: no script has run.
    NotTaken,
    Io(io::Error),
}

/// How a request that took too long came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// PHP stopped when it was asked, and has logged where it was.
    ByItself,
    Killed,
}

impl Fpm {
    /// Opens the socket, starts php-fpm on it, and waits until its worker is up.
    pub fn start(memory: &Memory, log: &Log) -> Result<Self, InitError> {
        let failed = |error: io::Error| InitError::NoPhp { program: PHP.to_owned(), problem: error.to_string() };
        let (listener, socket) = listen().map_err(failed)?;
        let master = spawn(&listener, memory, log).map_err(failed)?;
        let mut fpm = Fpm {
            listener,
            socket,
            master,
            memory: memory.clone(),
            log: log.clone(),
            doubted: false,
            buffer: vec![0; 64 * 1024],
        };
        fpm.wait_for_worker()?;
        Ok(fpm)
    }

    /// One request: `output` gets the bytes that the script prints, as they come. What PHP logs meanwhile goes to the log.
    ///
    /// A request that no script has seen is sent once more. After an error the next request works: a worker that hangs
    /// is killed and the master replaces it, and a master that is gone is started again.
    pub fn request(
        &mut self,
        params: &Params,
        body: &[u8],
        patience: Patience,
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<(), NoAnswer> {
        let request = fastcgi::Request::new(params, body);
        match self.deliver(&request, patience, output) {
            Err(NoAnswer::NotTaken) => {
                self.log.say(Level::Warn, "php-fpm did not take the request; it is sent once more");
                self.deliver(&request, patience, output)
            }
            result => result,
        }
    }

    fn deliver(
        &mut self,
        request: &fastcgi::Request<'_>,
        patience: Patience,
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<(), NoAnswer> {
        self.mend(patience)?;
        let result = self.exchange(&mut request.pieces(), patience, output);
        match &result {
            Err(NoAnswer::Deadline(Stopped::Killed)) => {
                self.take_back();
                processes::kill_descendants(Pid::from_child(&self.master));
            }
            Err(NoAnswer::MasterDied(_)) => self.restart().map_err(NoAnswer::Io)?,
            _ => {}
        }
        self.doubted = matches!(result, Err(NoAnswer::WorkerDied | NoAnswer::Deadline(_)));
        result
    }

    /// A master that has ended is started again, and so is one that has not put a new worker in a dead one's place: it may
    /// be stopped, or have no memory for a fork.
    fn mend(&mut self, patience: Patience) -> Result<(), NoAnswer> {
        let problem = match self.master.try_wait() {
            Ok(Some(status)) => format!("had ended with {status}"),
            _ if std::mem::take(&mut self.doubted) => match self.ping(patience.stop.min(Instant::now() + TRIAL)) {
                Ok(()) => return Ok(()),
                Err(_) => "had no worker".to_owned(),
            },
            _ => return Ok(()),
        };
        self.log.say(Level::Error, &format!("php-fpm {problem} and is started again"));
        self.restart().map_err(NoAnswer::Io)
    }

    /// Whether the request still waits in the socket's queue, because the worker was stopped or is busy with what a script
    /// does after its answer. Then it is there no longer: a worker that took it after its time would run it all the same.
    fn take_back(&self) -> bool {
        let waits = || ready(&self.listener, PollFlags::IN, Duration::ZERO).unwrap_or(false);
        if !waits() {
            return false;
        }
        let group = Pid::from_child(&self.master);
        // If a worker could take it meanwhile, we would wait here for the next one.
        let frozen = processes::freeze_group(group);
        let mut any = false;
        while frozen && waits() && self.listener.accept().is_ok() {
            any = true;
        }
        processes::thaw_group(group);
        any
    }

    /// A new worker in the place of the present one, which must have no request: nothing that it holds, such as
    /// connections and the state of random generators, lives on. What the master has compiled does.
    pub fn renew(&mut self) -> Result<(), InitError> {
        processes::kill_descendants(Pid::from_child(&self.master));
        self.wait_for_worker()
    }

    /// Sends the request and receives the answer, both as far as the socket goes: PHP may print before it has read
    /// everything, and waiting for one of them alone could be waiting for each other.
    fn exchange(
        &mut self,
        mut unsent: &mut [IoSlice<'_>],
        patience: Patience,
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<(), NoAnswer> {
        let stream = self.connect()?;
        let mut decoder = Decoder::default();
        let mut ended = None;
        let mut asked = 0;
        while ended.is_none() {
            let limit = [patience.stop, patience.insist, patience.kill][asked];
            let count = match self.step(&stream, &mut unsent, limit) {
                Err(NoAnswer::Deadline(_)) if asked < 2 => {
                    let untaken = self.take_back();
                    processes::stop_descendants(Pid::from_child(&self.master));
                    if untaken {
                        let stopped = self.ping(patience.kill).map_or(Stopped::Killed, |()| Stopped::ByItself);
                        return Err(NoAnswer::Deadline(stopped));
                    }
                    asked += 1;
                    continue;
                }
                count => count?,
            };
            if count == 0 {
                return Err(if asked > 0 { NoAnswer::Deadline(Stopped::ByItself) } else { NoAnswer::WorkerDied });
            }
            let log = &self.log;
            decoder
                .feed(&self.buffer[..count], |part| match part {
                    Part::Output(bytes) => output(bytes),
                    Part::Log(bytes) => log.pass(&String::from_utf8_lossy(bytes)),
                    Part::End { served } => ended = Some(served),
                })
                .map_err(|fastcgi::NotFastCgi| NoAnswer::WorkerDied)?;
        }
        match ended {
            _ if asked > 0 => Err(NoAnswer::Deadline(Stopped::ByItself)),
            Some(true) => Ok(()),
            _ => Err(NoAnswer::NotTaken),
        }
    }

    fn connect(&self) -> Result<UnixStream, NoAnswer> {
        let stream = UnixStream::connect_addr(&self.socket.address).map_err(NoAnswer::Io)?;
        stream.set_nonblocking(true).map_err(NoAnswer::Io)?;
        Ok(stream)
    }

    /// Sends what can be sent, and waits for bytes in the buffer, until the limit and for as long as the master lives.
    /// 0 is the end of the connection.
    fn step(
        &mut self,
        mut stream: &UnixStream,
        unsent: &mut &mut [IoSlice<'_>],
        limit: Instant,
    ) -> Result<usize, NoAnswer> {
        loop {
            while !unsent.is_empty() {
                match stream.write_vectored(unsent) {
                    Ok(count) => IoSlice::advance_slices(unsent, count),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // A peer that closed early may have answered: reading tells.
                    Err(_) => *unsent = &mut [],
                }
            }
            let remaining = limit.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Err(NoAnswer::Deadline(Stopped::Killed));
            }
            let interest = if unsent.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
            if !ready(stream, interest, remaining.min(LOOK)).map_err(NoAnswer::Io)? {
                if let Ok(Some(status)) = self.master.try_wait() {
                    return Err(NoAnswer::MasterDied(status));
                }
                continue;
            }
            match stream.read(&mut self.buffer) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(0),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(error) => return Err(NoAnswer::Io(error)),
            }
        }
    }

    /// A question that any worker answers: it waits in the socket's queue until there is one.
    fn wait_for_worker(&mut self) -> Result<(), InitError> {
        self.ping(Instant::now() + START_LIMIT).map_err(|no_answer| InitError::NoPhp {
            program: "php-fpm".to_owned(),
            problem: match no_answer {
                NoAnswer::MasterDied(status) => format!("it ended with {status}; the log has its reasons"),
                NoAnswer::Deadline(_) => "no worker".to_owned(),
                NoAnswer::WorkerDied | NoAnswer::NotTaken => "its worker died".to_owned(),
                NoAnswer::Io(error) => error.to_string(),
            },
        })
    }

    fn ping(&mut self, limit: Instant) -> Result<(), NoAnswer> {
        let stream = self.connect()?;
        match self.step(&stream, &mut [IoSlice::new(&fastcgi::ping())].as_mut_slice(), limit)? {
            0 => Err(NoAnswer::WorkerDied),
            _ => Ok(()),
        }
    }

    fn restart(&mut self) -> io::Result<()> {
        self.end();
        self.master = spawn(&self.listener, &self.memory, &self.log)?;
        Ok(())
    }

    /// All of php-fpm: a worker that outlives its master would go on taking requests from the socket.
    fn end(&mut self) {
        processes::kill_group(Pid::from_child(&self.master));
        let _ = self.master.wait();
    }
}

impl Drop for Fpm {
    fn drop(&mut self) {
        self.end();
        if let Some(file) = &self.socket.file {
            let _ = fs::remove_file(file);
        }
    }
}

/// A socket of our own in /tmp, the one place on Lambda that can be written. Where even that is full, one without a file.
fn listen() -> io::Result<(UnixListener, Socket)> {
    let (folder, start, end) = SOCKETS;
    // The name cannot be guessed, so no other process is in the way.
    let name = format!("{start}{}-{:016x}{end}", std::process::id(), RandomState::new().hash_one(()));
    let path = PathBuf::from(format!("{folder}/{name}"));
    let (listener, file) = match UnixListener::bind(&path) {
        Ok(listener) => (listener, Some(path)),
        // Any process of this network may connect to such a socket; on Lambda there is no other.
        Err(_) => (UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?, None),
    };
    // php-fpm gets it by being born with it, under the same number.
    rustix::io::fcntl_setfd(&listener, FdFlags::empty())?;
    let address = listener.local_addr()?;
    Ok((listener, Socket { address, file }))
}

/// Removes the sockets of predecessors: Lambda keeps /tmp when it kills a runtime.
pub fn sweep() {
    sweep_in(Path::new(SOCKETS.0));
}

fn sweep_in(folder: &Path) {
    let (_, start, end) = SOCKETS;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(start)?.strip_suffix(end)?.split('-').next()?.parse::<u32>().ok());
        // A predecessor may have had our number; we have made none yet.
        let left_behind = |owner| owner == std::process::id() || !Path::new(&format!("/proc/{owner}")).exists();
        if owner.is_some_and(left_behind) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn spawn(listener: &UnixListener, memory: &Memory, log: &Log) -> io::Result<Child> {
    let mut command = Command::new(PHP);
    memory.tell(&mut command);
    command
        .arg0("php-fpm")
        // The last is of no effect on Lambda, which never runs as root; a container may.
        .args(["--nodaemonize", "--force-stderr", "--fpm-config", CONFIG, "--allow-to-run-as-root"])
        // What is not logged through our pipe comes once, by stderr.
        .args(["-d", "fastcgi.logging=0"])
        .env("FPM_SOCKETS", format!("{LISTEN}={}", listener.as_raw_fd()))
        .stdin(Stdio::null())
        .process_group(0);
    output::spawn_logged(&mut command, log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_without_an_owner_are_swept() {
        let folder = std::env::temp_dir().join(format!("phplayer-sweep-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let ours = format!(".phplayer-{}-0f.sock", std::process::id());
        // Process 1 lives; no process has the highest number.
        for name in [".phplayer-1-0f.sock", ".phplayer-4294967295-0f.sock", &ours, ".phplayer-x.sock", "other.sock"] {
            fs::write(folder.join(name), "").unwrap();
        }
        sweep_in(&folder);
        let mut left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(left, [".phplayer-1-0f.sock", ".phplayer-x.sock", "other.sock"]);
    }
}
