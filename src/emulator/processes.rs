//! The processes of a sandbox, as `/proc` tells of them: which they are, and how much memory they use.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;

/// Bytes that a sandbox's processes use now; pages that they share count once, as they do on Lambda.
///
/// None where `/proc` does not tell. Costs one look at every process of the machine, well under a millisecond for a few
/// hundred of them.
pub fn memory(bubblewrap: u32) -> Option<u64> {
    all(bubblewrap)?.into_iter().filter_map(proportional).reduce(|total, bytes| total + bytes)
}

/// The processes of a sandbox, but bubblewrap's own.
pub fn all(bubblewrap: u32) -> Option<Vec<u32>> {
    let children = children()?;
    let mut waiting = first(&children, bubblewrap);
    let mut found = Vec::new();
    while let Some(process) = waiting.pop() {
        waiting.extend(children.get(&process).into_iter().flatten());
        found.push(process);
    }
    Some(found)
}

/// Waits, but not long, until killed processes are gone.
pub fn wait_for_end(of: &[u32]) {
    let end = Instant::now() + Duration::from_millis(500);
    let gone = |process: &u32| !fs::exists(format!("/proc/{process}")).unwrap_or(false);
    while !of.iter().all(gone) && Instant::now() < end {
        thread::sleep(Duration::from_millis(1));
    }
}

/// The process that bubblewrap was started for.
pub fn runtime(bubblewrap: u32) -> Option<u32> {
    first(&children()?, bubblewrap).into_iter().min()
}

/// What bubblewrap's own child has started: that one is the sandbox's process 1 and none of the function's. Orphans become
/// its children too.
fn first(children: &HashMap<u32, Vec<u32>>, bubblewrap: u32) -> Vec<u32> {
    let own = children.get(&bubblewrap).into_iter().flatten();
    own.flat_map(|child| children.get(child)).flatten().copied().collect()
}

fn children() -> Option<HashMap<u32, Vec<u32>>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some(parent) = parent(&stat) {
            children.entry(parent).or_default().push(process);
        }
    }
    Some(children)
}

/// The fourth field; the second, the command in parentheses, may contain anything.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A process's proportional set size in bytes.
fn proportional(process: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_be_named_anything() {
        assert_eq!(parent("7 (a) S 1 (b) S 5 7 7"), Some(5));
        assert_eq!(parent("7"), None);
    }
}
