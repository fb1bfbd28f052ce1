//! One process of a sandbox as `/proc` shows it: its name, its memory, its open files.

use fs_err as fs;
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Process {
    pub name: String,
    /// Resident bytes, shared pages whole.
    pub rss: u64,
    /// Resident bytes, each shared page divided by those who share it.
    pub pss: u64,
    /// Open file descriptors.
    pub descriptors: usize,
}

/// None where it has ended, or may not be looked at.
pub fn look(process: u32) -> Option<Process> {
    let folder = format!("/proc/{process}");
    let command = fs::read(format!("{folder}/cmdline")).ok()?;
    let rollup = fs::read_to_string(format!("{folder}/smaps_rollup")).ok()?;
    let kilobytes = |name: &str| -> Option<u64> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    Some(Process {
        name: name(&command),
        rss: kilobytes("Rss:")? * 1024,
        pss: kilobytes("Pss:")? * 1024,
        descriptors: fs::read_dir(format!("{folder}/fd")).ok()?.count(),
    })
}

/// From a command line: `/opt/bootstrap` → `bootstrap`; php-fpm writes there what it does, `php-fpm: pool www`.
fn name(command: &[u8]) -> String {
    let first = command.split(|byte| *byte == 0).next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    let text = first.split(" (").next().unwrap_or_default().trim();
    match text.contains(": ") {
        true => text.to_owned(),
        false => text.rsplit('/').next().unwrap_or(text).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_called_what_people_call_them() {
        for (command, expected) in [
            (&b"/opt/bootstrap\0"[..], "bootstrap"),
            (b"php-fpm: master process (/opt/etc/php-fpm.conf)\0\0", "php-fpm: master process"),
            (b"php-fpm: pool www \0", "php-fpm: pool www"),
            (b"/bin/bash\0/opt/bootstrap\0", "bash"),
            (b"", ""),
        ] {
            assert_eq!(name(command), expected);
        }
    }

    #[test]
    fn this_process_has_memory_and_files() {
        let own = look(std::process::id()).unwrap();
        assert!(own.rss >= own.pss && own.pss > 0 && own.descriptors > 2, "{own:?}");
    }
}
