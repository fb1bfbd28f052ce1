//! Running other programs: output to a log, the last lines kept for the error, everything killed on Ctrl-C.

use std::ffi::OsString;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

/// How many of a log's last lines an error shows.
const LAST_LINES: usize = 25;

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("cannot start {}", program.to_string_lossy())]
    NotStarted {
        program: OsString,
        #[source]
        cause: io::Error,
    },
    #[error("{} ended with {status}", program.to_string_lossy())]
    Failed { program: OsString, status: String, log: PathBuf, last: Vec<String> },
    #[error("{} does not answer within {limit:?}", program.to_string_lossy())]
    Late { program: OsString, limit: Duration },
    #[error("interrupted")]
    Interrupted,
    #[error("cannot write the log {}", log.display())]
    Log {
        log: PathBuf,
        #[source]
        cause: io::Error,
    },
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static RUNNING: OnceLock<Mutex<Vec<Weak<duct::Handle>>>> = OnceLock::new();

fn running() -> &'static Mutex<Vec<Weak<duct::Handle>>> {
    RUNNING.get_or_init(Mutex::default)
}

/// From now on Ctrl-C and SIGTERM kill every child; the work under way then ends with [`ProcessError::Interrupted`].
/// A second one ends this program at once.
pub fn kill_children_on_interrupt() {
    // A handler is there already only if this is called twice: then that one serves.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        if let Ok(children) = running().lock() {
            children.iter().filter_map(Weak::upgrade).for_each(|child| kill(&child));
        }
    });
}

/// Makes a child the first of a group of its own, so that what it starts dies with it: bubblewrap's inner process waits
/// for its outer one at first, for ever if that was killed. Not for programs that ask at the terminal.
pub fn lead_a_group(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

/// Kills a child, and the group that it leads if it leads one.
fn kill(child: &duct::Handle) {
    let pids = child.pids().into_iter().filter_map(|pid| i32::try_from(pid).ok());
    for pid in pids.filter_map(rustix::process::Pid::from_raw) {
        // No such group: the child leads none.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
}

/// True after Ctrl-C.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Runs to the end. All output goes to `log`, which is made anew. `ready` sees the command before it starts.
pub fn run_logged(
    program: &Path,
    arguments: &[OsString],
    log: &Path,
    ready: impl Fn(&mut std::process::Command) + Send + Sync + 'static,
) -> Result<(), ProcessError> {
    run_within(None, program, arguments, log, ready)
}

/// The same, but it is killed after `limit`, with its group if it leads one.
pub fn run_within(
    limit: Option<Duration>,
    program: &Path,
    arguments: &[OsString],
    log: &Path,
    ready: impl Fn(&mut std::process::Command) + Send + Sync + 'static,
) -> Result<(), ProcessError> {
    if interrupted() {
        return Err(ProcessError::Interrupted);
    }
    let unwritable = |cause| ProcessError::Log { log: log.to_owned(), cause };
    let file = fs_err::File::create(log).map_err(unwritable)?;
    let expression = duct::cmd(program, arguments)
        .stdin_null()
        .stderr_to_stdout()
        .stdout_file(file.into_file())
        .unchecked()
        .before_spawn(move |command| {
            ready(command);
            Ok(())
        });
    let child = expression
        .start()
        .map_err(|cause| ProcessError::NotStarted { program: program.as_os_str().to_owned(), cause })?;
    let child = Arc::new(child);
    if let Ok(mut children) = running().lock() {
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&child));
    }
    // Ctrl-C between the check above and the registration: the handler did not see this child.
    if interrupted() {
        kill(&child);
    }
    let lost = |cause| ProcessError::NotStarted { program: program.as_os_str().to_owned(), cause };
    let late = match limit {
        Some(limit) if child.wait_timeout(limit).map_err(lost)?.is_none() => {
            kill(&child);
            Some(limit)
        }
        _ => None,
    };
    let output = child.wait().map_err(lost)?;
    if interrupted() {
        return Err(ProcessError::Interrupted);
    }
    if let Some(limit) = late {
        return Err(ProcessError::Late { program: program.as_os_str().to_owned(), limit });
    }
    if output.status.success() {
        return Ok(());
    }
    Err(ProcessError::Failed {
        program: program.as_os_str().to_owned(),
        status: output.status.to_string(),
        log: log.to_owned(),
        last: last_lines(log),
    })
}

/// Runs with this program's own terminal; returns its exit code.
pub fn run_interactive(program: &Path, arguments: &[OsString]) -> Result<i32, ProcessError> {
    let output = duct::cmd(program, arguments)
        .unchecked()
        .run()
        .map_err(|cause| ProcessError::NotStarted { program: program.as_os_str().to_owned(), cause })?;
    Ok(output.status.code().unwrap_or(1))
}

/// What a small program prints on stdout, or `None` if it is not there or fails.
pub fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let text = duct::cmd(program, arguments).stderr_null().stdin_null().read().ok()?;
    Some(text.trim().to_owned())
}

/// Where a program is on this machine's `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs_err::metadata(file).is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// The end of a log, read from its last 64 KiB only.
pub fn last_lines(log: &Path) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = fs_err::File::open(log)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(64 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: &Path) -> Result<(), ProcessError> {
        run_logged(Path::new("/bin/sh"), &["-c".into(), script.into()], log, |_| {})
    }

    #[test]
    fn a_failure_shows_its_last_lines_and_its_log() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("log");
        match shell("for i in $(seq 40); do echo line $i; done; echo broken >&2; exit 3", &log) {
            Err(ProcessError::Failed { last, status, .. }) => {
                assert_eq!(last.last().map(String::as_str), Some("broken"));
                assert_eq!(last.len(), LAST_LINES);
                assert!(status.contains('3'), "{status}");
            }
            other => panic!("expected a failure, got {other:?}"),
        }
        assert!(shell("echo fine", &log).is_ok());
        assert_eq!(last_lines(&log), ["fine"]);
    }

    #[test]
    fn a_missing_program_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let missing = run_logged(Path::new("/nonexistent/cc"), &[], &dir.path().join("log"), |_| {});
        assert!(matches!(missing, Err(ProcessError::NotStarted { program, .. }) if program == "/nonexistent/cc"));
    }
}
