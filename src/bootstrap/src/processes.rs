//! The processes below another one, and how they are asked to stop.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

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
    let _ = soon(|| !killed.iter().any(|process| is_alive(*process)));
}

/// Stops every process of a group where it is; false if one does not stop at once.
pub fn freeze_group(group: Pid) -> bool {
    let _ = kill_process_group(group, Signal::STOP);
    soon(|| states(group).iter().all(|state| matches!(state.as_str(), "T" | "t" | "Z")))
}

/// Lets them go on.
pub fn thaw_group(group: Pid) {
    let _ = kill_process_group(group, Signal::CONT);
}

/// Kills every process of a group and waits for their deaths, whoever has inherited them.
pub fn kill_group(group: Pid) {
    let _ = kill_process_group(group, Signal::KILL);
    let _ = soon(|| states(group).iter().all(|state| state == "Z"));
}

/// Waits until it is so, but not long.
fn soon(is_so: impl Fn() -> bool) -> bool {
    let limit = Instant::now() + DEATH_LIMIT;
    while !is_so() {
        if Instant::now() >= limit {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
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
    stat(process).is_some_and(|stat| stat.state != "Z")
}

/// The children of a process, their children, and so on.
pub fn descendants(ancestor: Pid) -> Vec<Pid> {
    let parents: Vec<(Pid, Pid)> =
        all().filter_map(|process| Some((process, Pid::from_raw(stat(process)?.parent)?))).collect();
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, other)| *other == parent).map(|(process, _)| *process));
        next += 1;
    }
    found.split_off(1)
}

/// What the processes of a group do.
fn states(group: Pid) -> Vec<String> {
    let stats = all().filter_map(stat);
    stats.filter(|stat| stat.group == group.as_raw_pid()).map(|stat| stat.state).collect()
}

fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

fn parent(process: Pid) -> Option<Pid> {
    Pid::from_raw(stat(process)?.parent)
}

struct Stat {
    state: String,
    parent: i32,
    group: i32,
}

/// From /proc/PID/stat: `12 (name, which may hold anything) S PARENT GROUP …`.
fn stat(process: Pid) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid())).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    Some(Stat {
        state: fields.next()?.to_owned(),
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
    })
}
