//! The processes below another one, and how they are asked to stop.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Asks PHP to stop as if its time limit had passed: it raises a fatal error that names the file and line it was at,
/// runs its shutdown functions, and ends the request. Extensions that wait in a system call hear of it if that call
/// ends by a signal.
///
/// PHP installs its handler for this signal at every request, also without a limit of its own
/// (`zend_set_timeout` in Zend/zend_execute_API.c).
const STOP_PHP: Signal = Signal::PROF;

/// Asks every process below `ancestor` to stop, not `ancestor` itself. What PHP waits for below itself ends at once.
pub fn stop_descendants(ancestor: Pid) {
    let _ = signal_descendants(ancestor, STOP_PHP);
}

/// Asks a process and all below it to stop.
pub fn stop_all(ancestor: Pid) {
    stop_descendants(ancestor);
    let _ = kill_process(ancestor, STOP_PHP);
}

/// Kills every process below `ancestor`, which lives on. Waits for their deaths, or one of them could still take the next
/// request from the socket and carry it to its grave.
pub fn kill_descendants(ancestor: Pid) {
    let killed = signal_descendants(ancestor, Signal::KILL);
    let limit = Instant::now() + DEATH_LIMIT;
    while killed.iter().any(|process| is_alive(*process)) && Instant::now() < limit {
        thread::sleep(Duration::from_millis(1));
    }
}

/// A killed process that is in the kernel's hands for longer is nothing to wait for.
const DEATH_LIMIT: Duration = Duration::from_millis(50);

/// Returns those that were there.
fn signal_descendants(ancestor: Pid, signal: Signal) -> Vec<Pid> {
    let all = descendants(ancestor);
    for process in &all {
        // It may have ended in between, which is as good.
        let _ = kill_process(*process, signal);
    }
    all
}

/// Asks the direct children to end: php-fpm by SIGQUIT, its graceful stop, other PHP by SIGTERM, which it may handle.
pub fn ask_children_to_end(of: Pid) {
    for child in descendants(of).into_iter().filter(|process| parent(*process) == Some(of)) {
        let title = fs::read(format!("/proc/{}/cmdline", child.as_raw_pid())).unwrap_or_default();
        let signal = if title.starts_with(b"php-fpm") { Signal::QUIT } else { Signal::TERM };
        let _ = kill_process(child, signal);
    }
}

/// Whether a process is neither gone nor a zombie.
pub fn is_alive(process: Pid) -> bool {
    stat(process).is_some_and(|(state, _)| state != "Z")
}

/// The children of a process, their children, and so on.
pub fn descendants(ancestor: Pid) -> Vec<Pid> {
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

fn parent(process: Pid) -> Option<Pid> {
    Pid::from_raw(stat(process)?.1)
}

/// State and parent, from /proc/PID/stat: `12 (name, which may hold anything) S PARENT …`.
fn stat(process: Pid) -> Option<(String, i32)> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid())).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
