//! Running the tools that know how this machine reaches its package registries.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Command;

use super::{Reason, Setback, SourceError};

/// Runs a tool to its end and returns what it wrote to stdout. `writes` is the folder that it fills.
pub(super) fn run<A: AsRef<OsStr>>(
    tool: &'static str,
    program: &Path,
    arguments: &[A],
    writes: Option<&Path>,
) -> Result<String, Setback> {
    // Messages in English: some of them are looked into.
    let output =
        Command::new(program).args(arguments).env("LC_ALL", "C").output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Reason::NoTool(tool.to_owned()),
            _ => Reason::Tool { tool, said: error.to_string() },
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    if let Some(folder) = writes
        && errors.contains("No space left on device")
    {
        return Err(SourceError::NoSpace { path: folder.to_owned() }.into());
    }
    Err(Reason::Tool { tool, said: complaint(&errors) }.into())
}

/// The line that says what went wrong: the first one marked as an error, else the last.
fn complaint(errors: &str) -> String {
    let mut lines = errors.lines().map(str::trim).filter(|line| !line.is_empty());
    let marked = lines.clone().find_map(|line| line.strip_prefix("E: ").or_else(|| line.strip_prefix("ERROR: ")));
    let line = marked.or_else(|| lines.next_back()).unwrap_or("nothing");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complaint_is_the_marked_line() {
        assert_eq!(
            complaint("W: slow\nE: Failed to fetch x  404  Not Found\nE: Download Failed\n"),
            "Failed to fetch x 404 Not Found"
        );
        assert_eq!(complaint("Traceback\nNo module named pip\n\n"), "No module named pip");
        assert_eq!(complaint(""), "nothing");
    }

    #[test]
    fn a_tool_that_is_missing_or_out_of_space_is_told_apart() {
        let missing = run("apt-helper", Path::new("/nonexistent/apt-helper"), &["x"], None);
        assert!(matches!(missing, Err(Setback::There(Reason::NoTool(_)))));
        let script = ["-c", "echo 'E: write (28: No space left on device)' >&2; exit 100"];
        let full = run("sh", Path::new("/bin/sh"), &script, Some(Path::new("store")));
        assert!(matches!(full, Err(Setback::Here(error)) if matches!(*error, SourceError::NoSpace { .. })));
    }
}
