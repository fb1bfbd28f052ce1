//! Programs that a build asks of this machine, and the Debian package of each.

use std::path::Path;

use crate::process;
use crate::target::Arch;

use super::ToolchainError;

/// What every step may use.
const COMMON: [(&str, &str); 16] = [
    ("bwrap", "bubblewrap"),
    ("gcc", "gcc"),
    ("ld", "binutils"),
    ("ar", "binutils"),
    ("nm", "binutils"),
    ("objcopy", "binutils"),
    ("make", "make"),
    ("autoconf", "autoconf"),
    ("automake", "automake"),
    ("libtoolize", "libtool"),
    ("m4", "m4"),
    ("perl", "perl"),
    ("pkg-config", "pkg-config"),
    ("tar", "tar"),
    ("sed", "sed"),
    ("awk", "mawk"),
];

/// What a build for arm64 asks of another machine on top: a compiler and linker of the target, and what starts the
/// finished program once, to ask it for its extensions.
const ARM64: [(&str, &str); 9] = [
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    ("aarch64-linux-gnu-ld", "binutils-aarch64-linux-gnu"),
    ("aarch64-linux-gnu-ar", "binutils-aarch64-linux-gnu"),
    ("aarch64-linux-gnu-nm", "binutils-aarch64-linux-gnu"),
    ("aarch64-linux-gnu-objcopy", "binutils-aarch64-linux-gnu"),
    ("aarch64-linux-gnu-ranlib", "binutils-aarch64-linux-gnu"),
    ("aarch64-linux-gnu-strip", "binutils-aarch64-linux-gnu"),
    ("qemu-aarch64-static", "qemu-user-static"),
    ("/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1", "libc6-arm64-cross"),
];

/// The Debian package of a tool that a definition asks for.
pub fn package_of(tool: &str) -> &str {
    match tool {
        "tclsh" => "tcl",
        "php" => "php-cli",
        "pip" => "python3-pip",
        other => COMMON.iter().chain(&ARM64).find(|(known, _)| *known == other).map_or(other, |(_, package)| package),
    }
}

/// What a build for `arch` asks of this machine beyond the common tools.
pub fn cross(arch: Arch) -> Vec<String> {
    between(Arch::host(), arch)
}

fn between(host: Arch, arch: Arch) -> Vec<String> {
    match (host, arch) {
        (Arch::X86_64, Arch::Arm64) => ARM64.iter().map(|(tool, _)| (*tool).to_owned()).collect(),
        _ => Vec::new(),
    }
}

/// The tools of the common ones, and of `extra`, that this machine does not have. An absolute path is a file to be there.
pub fn lacking(extra: &[String]) -> Vec<String> {
    let common = COMMON.iter().map(|(tool, _)| (*tool).to_owned());
    let here = |tool: &str| match tool.starts_with('/') {
        true => Path::new(tool).exists(),
        false => process::find(tool).is_some(),
    };
    common.chain(extra.iter().cloned()).filter(|tool| !here(tool)).collect()
}

/// The error that names them, with their packages.
pub fn missing(tools: &[String]) -> ToolchainError {
    let mut packages: Vec<String> = tools.iter().map(|tool| package_of(tool).to_owned()).collect();
    packages.sort();
    packages.dedup();
    ToolchainError::Missing { tools: tools.to_vec(), packages }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_packages() {
        let table: [(&[&str], &[&str]); 3] = [
            (&["ld", "ar", "tclsh"], &["binutils", "tcl"]),
            (
                &["aarch64-linux-gnu-gcc", "aarch64-linux-gnu-ld"],
                &["binutils-aarch64-linux-gnu", "gcc-aarch64-linux-gnu"],
            ),
            (&["/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"], &["libc6-arm64-cross"]),
        ];
        for (tools, expected) in table {
            let tools: Vec<String> = tools.iter().map(|tool| (*tool).to_owned()).collect();
            match missing(&tools) {
                ToolchainError::Missing { packages, .. } => assert_eq!(packages, expected),
                other => panic!("unexpected: {other}"),
            }
        }
    }

    #[test]
    fn only_another_architecture_asks_for_more() {
        assert!(between(Arch::X86_64, Arch::X86_64).is_empty());
        assert!(between(Arch::Arm64, Arch::Arm64).is_empty());
        assert!(between(Arch::X86_64, Arch::Arm64).contains(&"qemu-aarch64-static".to_owned()));
    }

    #[test]
    fn a_file_that_must_be_there_is_looked_for_as_a_file() {
        let lacks = lacking(&["/usr".to_owned(), "/no/such/file".to_owned()]);
        assert!(lacks.contains(&"/no/such/file".to_owned()) && !lacks.contains(&"/usr".to_owned()));
    }
}
