//! php-fpm: one master with one worker, and requests to it.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::answer::{InitError, RESPONSE_LIMIT};
use crate::fastcgi::{self, Decoder, Params, Part};
use crate::settings::PHP;

const CONFIG: &str = "/opt/etc/php-fpm.conf";
/// What `listen` is set to in php-fpm.conf. Nothing is made there: it is only the key under which the socket is handed over.
const LISTEN: &str = "/tmp/.phplayer.sock";
/// How often a wait looks whether the master still lives. A worker's death is seen at once, by its closed connection.
const LOOK: Duration = Duration::from_millis(100);
/// Lambda's own limit for the whole start.
const START_LIMIT: Duration = Duration::from_secs(10);

pub struct Fpm {
    /// Ours for as long as we live: whoever serves it, connecting to it never fails.
    listener: UnixListener,
    path: PathBuf,
    master: Child,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// The worker closed the connection before its answer was complete.
    WorkerDied,
    MasterDied(ExitStatus),
    /// The cut-off came first.
    Deadline,
    Io(io::Error),
}

/// How much of a script's output is kept: more than any front takes, so that what is cut off is surely refused.
const OUTPUT_LIMIT: usize = 2 * RESPONSE_LIMIT;

impl Fpm {
    /// Opens the socket, starts php-fpm on it, and waits until its worker is up.
    pub fn start() -> Result<Self, InitError> {
        let failed = |error: io::Error| InitError::NoPhp { program: PHP.to_owned(), problem: error.to_string() };
        let (listener, path) = listen().map_err(failed)?;
        let master = spawn(&listener).map_err(failed)?;
        let mut fpm = Fpm { listener, path, master };
        match fpm.ping() {
            Ok(()) => Ok(fpm),
            Err(no_answer) => Err(InitError::NoPhp {
                program: "php-fpm".to_owned(),
                problem: match no_answer {
                    NoAnswer::MasterDied(status) => format!("it ended with {status}; the log has its reasons"),
                    NoAnswer::Deadline => format!("no worker within {} seconds", START_LIMIT.as_secs()),
                    NoAnswer::WorkerDied => "its worker died".to_owned(),
                    NoAnswer::Io(error) => error.to_string(),
                },
            }),
        }
    }

    /// One request: the bytes that the script printed, at most `OUTPUT_LIMIT`. What PHP logs meanwhile goes to our stderr.
    ///
    /// After an error the next request works: a worker that hangs is killed and the master replaces it, and a master
    /// that is gone is started again.
    pub fn request(&mut self, params: &Params, body: &[u8], cut_off: Instant) -> Result<Vec<u8>, NoAnswer> {
        if let Ok(Some(status)) = self.master.try_wait() {
            eprintln!("php-fpm had ended with {status} and is started again");
            self.restart().map_err(NoAnswer::Io)?;
        }
        let result = self.exchange(&fastcgi::request(params, body), cut_off);
        match &result {
            Err(NoAnswer::Deadline) => self.kill_workers(),
            Err(NoAnswer::MasterDied(_)) => self.restart().map_err(NoAnswer::Io)?,
            _ => {}
        }
        result
    }

    fn exchange(&mut self, request: &[u8], cut_off: Instant) -> Result<Vec<u8>, NoAnswer> {
        let stream = UnixStream::connect(&self.path).map_err(NoAnswer::Io)?;
        stream.set_read_timeout(Some(LOOK)).map_err(NoAnswer::Io)?;
        thread::scope(|scope| {
            if request.len() <= WRITABLE_AT_ONCE {
                send(&stream, request, cut_off)?;
            } else {
                // PHP may print before it has read everything: reading and writing in turn could wait for each other.
                scope.spawn(|| send(&stream, request, cut_off));
            }
            let answer = self.receive(&stream, cut_off);
            // Wakes a writer whose reader is gone.
            let _ = stream.shutdown(std::net::Shutdown::Both);
            answer
        })
    }

    fn receive(&mut self, stream: &UnixStream, cut_off: Instant) -> Result<Vec<u8>, NoAnswer> {
        let mut output = Vec::new();
        let mut decoder = Decoder::default();
        let mut ended = None;
        let mut buffer = vec![0; 64 * 1024];
        while ended.is_none() {
            let count = self.read(stream, &mut buffer, cut_off)?;
            if count == 0 {
                return Err(NoAnswer::WorkerDied);
            }
            decoder
                .feed(&buffer[..count], |part| match part {
                    // The script may go on printing to its end: a closed connection would leave it running unseen.
                    Part::Output(bytes) => {
                        output.extend_from_slice(&bytes[..bytes.len().min(OUTPUT_LIMIT - output.len())])
                    }
                    Part::Log(bytes) => log(bytes),
                    Part::End { served } => ended = Some(served),
                })
                .map_err(|fastcgi::NotFastCgi| NoAnswer::WorkerDied)?;
        }
        if ended == Some(true) { Ok(output) } else { Err(NoAnswer::WorkerDied) }
    }

    /// Waits for bytes, until the cut-off and for as long as the master lives.
    fn read(&mut self, mut stream: &UnixStream, buffer: &mut [u8], cut_off: Instant) -> Result<usize, NoAnswer> {
        loop {
            let remaining = cut_off.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Err(NoAnswer::Deadline);
            }
            if remaining < LOOK {
                stream.set_read_timeout(Some(remaining)).map_err(NoAnswer::Io)?;
            }
            match stream.read(buffer) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if let Ok(Some(status)) = self.master.try_wait() {
                        return Err(NoAnswer::MasterDied(status));
                    }
                }
                Err(error) => return Err(NoAnswer::Io(error)),
            }
        }
    }

    fn ping(&mut self) -> Result<(), NoAnswer> {
        let stream = UnixStream::connect(&self.path).map_err(NoAnswer::Io)?;
        stream.set_read_timeout(Some(LOOK)).map_err(NoAnswer::Io)?;
        let cut_off = Instant::now() + START_LIMIT;
        send(&stream, &fastcgi::ping(), cut_off)?;
        match self.read(&stream, &mut [0; 64], cut_off)? {
            0 => Err(NoAnswer::WorkerDied),
            _ => Ok(()),
        }
    }

    fn restart(&mut self) -> io::Result<()> {
        self.end();
        self.master = spawn(&self.listener)?;
        Ok(())
    }

    /// All of php-fpm: a worker that outlives its master would go on taking requests from the socket.
    fn end(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.master), Signal::KILL);
        let _ = self.master.wait();
    }

    /// The workers and what they have started: the master lives on and replaces them, with all that it has loaded.
    fn kill_workers(&self) {
        for process in descendants(Pid::from_child(&self.master)) {
            // It may have ended in between, which is as good.
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

impl Drop for Fpm {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_file(&self.path);
    }
}

/// Less than any socket buffer of Linux: a write of this many bytes never waits for the reader.
const WRITABLE_AT_ONCE: usize = 64 * 1024;

fn send(mut stream: &UnixStream, bytes: &[u8], cut_off: Instant) -> Result<(), NoAnswer> {
    let remaining = cut_off.saturating_duration_since(Instant::now());
    if remaining.is_zero() {
        return Err(NoAnswer::Deadline);
    }
    stream.set_write_timeout(Some(remaining)).map_err(NoAnswer::Io)?;
    match stream.write_all(bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(NoAnswer::Deadline),
        // A peer that closed early may have answered: reading tells.
        _ => Ok(()),
    }
}

/// A socket of our own in /tmp, the one place on Lambda that can be written.
fn listen() -> io::Result<(UnixListener, PathBuf)> {
    // The name cannot be guessed, so no stale file of a predecessor and no other process is in the way.
    let path = PathBuf::from(format!("/tmp/.phplayer-{:016x}.sock", RandomState::new().hash_one(())));
    let listener = UnixListener::bind(&path)?;
    // php-fpm gets it by being born with it, under the same number.
    rustix::io::fcntl_setfd(&listener, FdFlags::empty())?;
    Ok((listener, path))
}

fn spawn(listener: &UnixListener) -> io::Result<Child> {
    Command::new(PHP)
        .arg0("php-fpm")
        // Of no effect on Lambda, which never runs as root; a container may.
        .args(["--nodaemonize", "--force-stderr", "--allow-to-run-as-root", "--fpm-config", CONFIG])
        .env("FPM_SOCKETS", format!("{LISTEN}={}", listener.as_raw_fd()))
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
}

/// The children of a process, their children, and so on.
fn descendants(ancestor: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(Pid, Pid)> = processes
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter_map(|process| Some((process, parent(process)?)))
        .collect();
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, other)| *other == parent).map(|(process, _)| *process));
        next += 1;
    }
    found.split_off(1)
}

/// From /proc/PID/stat: `12 (name, which may hold anything) S PARENT …`.
fn parent(process: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid())).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    Pid::from_raw(after_name.split_ascii_whitespace().nth(1)?.parse().ok()?)
}

/// Writes what PHP logged during a request, each message on lines of its own.
fn log(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    eprintln!("{}", text.trim_end());
}
