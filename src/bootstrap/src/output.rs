//! What a PHP process writes outside of its answers: its output and errors, on their way to the log.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsRawFd;
use std::process::{Child, Command};
use std::thread;

use rustix::io::FdFlags;

use crate::log::Log;

/// php.ini sends error messages to the file that this variable names. They come whole and before the answer that they
/// belong to; through php-fpm's master they would come in lines, later, and twice.
const ERROR_LOG: &str = "PHPLAYER_LOG";

/// Starts a PHP process whose output goes to the log.
pub fn spawn_logged(command: &mut Command, log: &Log) -> io::Result<Child> {
    let (output, input) = io::pipe()?;
    command.stdout(input.try_clone()?).stderr(input);
    let errors = ErrorLog::new()?;
    let child = errors.spawn(command)?;
    errors.follow(log);
    let log = log.clone();
    thread::spawn(move || log.follow(output, |_| ()));
    Ok(child)
}

/// A pipe that a PHP process opens by its name.
pub struct ErrorLog {
    reader: PipeReader,
    writer: PipeWriter,
}

impl ErrorLog {
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        // PHP is born with it, under the same number.
        rustix::io::fcntl_setfd(&writer, FdFlags::empty())?;
        Ok(ErrorLog { reader, writer })
    }

    /// Starts the process. The command is emptied of our ends of its pipes, or they would never be at their end.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        command.env(ERROR_LOG, format!("/proc/self/fd/{}", self.writer.as_raw_fd()));
        let child = command.spawn();
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        child
    }

    /// Passes messages on until the process and all that it has started are gone.
    pub fn follow(self, log: &Log) {
        drop(self.writer);
        let (log, reader) = (log.clone(), self.reader);
        thread::spawn(move || log.follow_errors(reader));
    }
}
