//! The PHP process of function mode: it has loaded the handler, and gets one event after the other over a socket.
//!
//! Frames in both directions: one byte that says what it is, the length as four bytes (big endian), the content.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::FdFlags;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;

use crate::handler::Function;
use crate::invocation::Patience;
use crate::log::Log;
use crate::output;
use crate::processes;
use crate::settings::{Isolation, Memory, PHP};
use crate::waiting::ready;

const SCRIPT: &str = "/opt/phplayer/worker.php";
/// How often a wait looks whether the process still lives: a child of its own may hold the socket open after its death.
const LOOK: Duration = Duration::from_millis(100);
/// How long a process that has closed its socket may take to end; its status is part of the message.
const END_LIMIT: Duration = Duration::from_secs(1);
/// Far above what Lambda takes, and low enough not to be killed for memory by a confused worker.
const FRAME_LIMIT: usize = 64 * 1024 * 1024;

pub struct Worker {
    process: Child,
    socket: UnixStream,
    isolation: Isolation,
    /// What was read beyond the last message.
    ahead: Frame,
    /// Of every read: a fresh one would have to be cleared.
    buffer: Vec<u8>,
}

/// What the worker says.
#[derive(Debug)]
pub enum Message {
    /// The handler is loaded.
    Ready,
    Response(Vec<u8>),
    /// The handler threw: the worker goes on.
    Thrown(Report),
    /// A fatal error: the worker ends. Before `Ready`, the handler could not be loaded.
    Fatal(Report),
    /// It was asked to stop, and says where it was.
    Stopped(Report),
    /// The process of one event has ended, as the text says: the worker goes on. Only where each event has its own.
    ChildEnded(String),
    /// It has ended because it was asked to, with its last word in the log: the worker goes on.
    ChildStopped,
}

/// An error as PHP tells it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub error_type: String,
    pub error_message: String,
    pub stack_trace: Vec<String>,
}

/// Why nothing was said.
#[derive(Debug)]
pub enum Silence {
    Ended(ExitStatus),
    Deadline,
    Io(io::Error),
}

impl Worker {
    /// Starts PHP; `Ready` is its first message.
    pub fn spawn(function: &Function, isolation: Isolation, memory: &Memory, log: &Log) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        // PHP is born with its end, under the same number; standard input stays free of our frames.
        rustix::io::fcntl_setfd(&theirs, FdFlags::empty())?;
        let mut command = Command::new(PHP);
        memory.tell(&mut command);
        command
            // The tutorial's functions begin with `<?` and read $_ENV.
            .args(["-d", "short_open_tag=1", "-d", "variables_order=EGPCS"])
            .arg(SCRIPT)
            .arg(theirs.as_raw_fd().to_string())
            .arg(match isolation {
                Isolation::Worker => "worker",
                Isolation::Process => "process",
            })
            .arg(&function.file)
            .args(&function.name)
            .stdin(Stdio::null())
            .process_group(0);
        let process = output::spawn_logged(&mut command, log)?;
        Ok(Worker { process, socket, isolation, ahead: Frame::default(), buffer: vec![0; 64 * 1024] })
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Hands an event over; a worker that does not take it shows that when it is asked for its answer.
    pub fn send(&mut self, context: &str, event: &[u8], patience: Patience) -> Result<(), Silence> {
        let mut frames = Vec::with_capacity(context.len() + event.len() + 10);
        push_frame(&mut frames, b'C', context.as_bytes());
        push_frame(&mut frames, b'V', event);
        let mut unsent = frames.as_slice();
        while !unsent.is_empty() {
            match (&self.socket).write(unsent) {
                Ok(count) => unsent = &unsent[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready(&self.socket, PollFlags::OUT, remaining(patience.kill)?.min(LOOK)).map_err(Silence::Io)?;
                }
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Waits for the worker's next message. One that takes too long is asked to stop, twice, and has until the end of the
    /// patience to say where it was.
    pub fn receive(&mut self, patience: Patience) -> Result<Message, Silence> {
        let mut frame = std::mem::take(&mut self.ahead);
        match self.read(&mut frame, patience.stop) {
            Ok(()) => return self.take(frame),
            Err(Silence::Deadline) if patience.stop < patience.kill => {}
            Err(silence) => return Err(silence),
        }
        self.ask_to_stop();
        let mut result = self.read(&mut frame, patience.insist);
        if let Err(Silence::Deadline) = result {
            self.ask_to_stop();
            result = self.read(&mut frame, patience.kill);
        }
        match result {
            Ok(()) => Ok(match self.take(frame)? {
                Message::Thrown(report) | Message::Fatal(report) => Message::Stopped(report),
                Message::ChildEnded(_) => Message::ChildStopped,
                other => other,
            }),
            Err(Silence::Ended(_)) => Err(Silence::Deadline),
            Err(silence) => Err(silence),
        }
    }

    fn ask_to_stop(&self) {
        let process = Pid::from_child(&self.process);
        match self.isolation {
            Isolation::Worker => processes::stop_all(process),
            // The one that has loaded the handler stays.
            Isolation::Process => processes::stop_descendants(process),
        }
    }

    /// The message of a complete frame; what came after it waits for the next call.
    fn take(&mut self, frame: Frame) -> Result<Message, Silence> {
        let (frame, ahead) = frame.split();
        self.ahead = ahead;
        message(frame)
    }

    /// Kills the process of one event.
    pub fn kill_child(&self) {
        processes::kill_descendants(Pid::from_child(&self.process));
    }

    /// Fills the frame, which may have begun already.
    fn read(&mut self, frame: &mut Frame, limit: Instant) -> Result<(), Silence> {
        while !frame.is_complete()? {
            match (&self.socket).read(&mut self.buffer) {
                Ok(0) => return Err(self.ended()),
                Ok(count) => frame.bytes.extend_from_slice(&self.buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(self.ended()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let waited =
                        ready(&self.socket, PollFlags::IN, remaining(limit)?.min(LOOK)).map_err(Silence::Io)?;
                    if !waited && let Ok(Some(status)) = self.process.try_wait() {
                        return Err(Silence::Ended(status));
                    }
                }
                Err(error) => return Err(Silence::Io(error)),
            }
        }
        Ok(())
    }

    /// The socket is closed: the process is at its end, and gets a moment to say how it ended.
    fn ended(&mut self) -> Silence {
        let limit = Instant::now() + END_LIMIT;
        while Instant::now() < limit {
            match self.process.try_wait() {
                Ok(Some(status)) => return Silence::Ended(status),
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                Err(error) => return Silence::Io(error),
            }
        }
        let _ = self.process.kill();
        self.process.wait().map_or_else(Silence::Io, Silence::Ended)
    }
}

impl Drop for Worker {
    /// Ends the process and the commands that it may be waiting for.
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }
}

/// Kind, length and content of a message, as far as they have come. The worker says nothing more before it is spoken to,
/// but that the process of an event has ended: that begins the next frame.
#[derive(Default)]
struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    const HEAD: usize = 5;

    /// The length of the whole frame, once its head is there.
    fn length(&self) -> Option<usize> {
        let [_, length @ ..] = self.bytes.first_chunk::<{ Self::HEAD }>()?;
        Some(Self::HEAD + u32::from_be_bytes(*length) as usize)
    }

    fn is_complete(&self) -> Result<bool, Silence> {
        match self.length() {
            Some(length) if length > FRAME_LIMIT => Err(confused()),
            Some(length) => Ok(self.bytes.len() >= length),
            None => Ok(false),
        }
    }

    /// The frame alone, and what has come after it.
    fn split(mut self) -> (Self, Self) {
        let rest = self.bytes.split_off(self.length().unwrap_or(0).min(self.bytes.len()));
        (self, Frame { bytes: rest })
    }
}

fn message(frame: Frame) -> Result<Message, Silence> {
    let kind = frame.bytes.first().copied();
    let content = &frame.bytes[Frame::HEAD..];
    let report = || serde_json::from_slice(content).map_err(|_| confused());
    match kind {
        Some(b'I') => Ok(Message::Ready),
        Some(b'R') => Ok(Message::Response(content.to_vec())),
        Some(b'T') => Ok(Message::Thrown(report()?)),
        Some(b'F') => Ok(Message::Fatal(report()?)),
        Some(b'D') => Ok(Message::ChildEnded(String::from_utf8_lossy(content).into_owned())),
        _ => Err(confused()),
    }
}

/// `status 3`, or `signal 9`.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn push_frame(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.push(kind);
    // Lambda's events have at most 6 MiB.
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    out.extend_from_slice(content);
}

fn remaining(limit: Instant) -> Result<Duration, Silence> {
    match limit.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(Silence::Deadline),
        remaining => Ok(remaining),
    }
}

fn confused() -> Silence {
    Silence::Io(io::Error::new(ErrorKind::InvalidData, "the worker does not speak our protocol"))
}
