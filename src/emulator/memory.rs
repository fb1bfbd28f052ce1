//! How much memory the processes of a sandbox use, as `/proc` tells it.

use std::collections::HashMap;

use fs_err as fs;

/// Bytes that `ancestor`'s descendants use now; pages that they share count once, as they do on Lambda.
///
/// None where `/proc` does not tell.
pub fn used_by_descendants(ancestor: u32) -> Option<u64> {
    descendants(ancestor)?.into_iter().filter_map(proportional).reduce(|total, bytes| total + bytes)
}

/// The processes in the sandbox of the bubblewrap `ancestor`, those of bubblewrap itself left out.
///
/// None where `/proc` does not tell. Costs one look at every process of the machine, well under a millisecond for a few
/// hundred of them.
pub fn descendants(ancestor: u32) -> Option<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some(parent) = parent(&stat) {
            children.entry(parent).or_default().push(process);
        }
    }
    // The first child is bubblewrap's own, the sandbox's process 1: not the function's.
    let mut waiting: Vec<u32> =
        children.get(&ancestor)?.iter().flat_map(|child| children.get(child)).flatten().copied().collect();
    let mut found = Vec::new();
    while let Some(process) = waiting.pop() {
        waiting.extend(children.get(&process).into_iter().flatten());
        found.push(process);
    }
    Some(found)
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
