//! What a PHP process writes outside of its answers: its output and errors, on their way to the log.

use std::io;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::io::FdFlags;

use crate::log::Log;

/// php.ini sends error messages to the file that this variable names. They come whole and before the answer that they
/// belong to; through php-fpm's master they would come in lines, later, and twice.
const ERROR_LOG: &str = "PHPLAYER_LOG";

/// Starts a PHP process whose output goes to the log, until it and all that it has started are gone.
pub fn spawn_logged(command: &mut Command, log: &Log) -> io::Result<Child> {
    let (output, input) = io::pipe()?;
    let (errors, named) = io::pipe()?;
    // PHP is born with it, under the same number.
    rustix::io::fcntl_setfd(&named, FdFlags::empty())?;
    command.stdout(input.try_clone()?).stderr(input);
    command.env(ERROR_LOG, format!("/proc/self/fd/{}", named.as_raw_fd()));
    let child = command.spawn();
    // It holds our ends of its pipes, without which they would never be at their end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = child?;
    let (lines, messages) = (log.clone(), log.clone());
    thread::spawn(move || lines.follow(output, |_| ()));
    thread::spawn(move || messages.follow_errors(errors));
    Ok(child)
}
