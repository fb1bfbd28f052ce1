//! The runtime inside a layer, which phplayer carries as bytes: the root build script has built it.

use crate::target::Arch;

/// The PHP side of function mode: `phplayer/worker.php` in a layer.
pub const WORKER: &str = include_str!("../bootstrap/php/worker.php");

/// php-fpm's configuration: `etc/php-fpm.conf` in a layer.
pub const FPM_CONF: &str = include_str!("../bootstrap/php-fpm.conf");

/// The executable for `bootstrap` in a layer, or `None` where phplayer was built without that Rust target.
pub fn for_arch(arch: Arch) -> Option<&'static [u8]> {
    match arch {
        #[cfg(bootstrap_x86_64)]
        Arch::X86_64 => Some(include_bytes!(env!("PHPLAYER_BOOTSTRAP_X86_64"))),
        #[cfg(bootstrap_arm64)]
        Arch::Arm64 => Some(include_bytes!(env!("PHPLAYER_BOOTSTRAP_ARM64"))),
        #[cfg(not(all(bootstrap_x86_64, bootstrap_arm64)))]
        _ => None,
    }
}

/// How to get a phplayer that carries it.
pub fn way_out(arch: Arch) -> String {
    let variable = format!("PHPLAYER_BOOTSTRAP_{}", arch.name().to_uppercase());
    format!(
        "`rustup target add {}-unknown-linux-musl`, then build phplayer anew; or build it with {variable} naming a \
         bootstrap that was built elsewhere: README.md, \"Graviton\"",
        arch.cpu()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The machine's number in an ELF header.
    fn machine(elf: &[u8]) -> u16 {
        u16::from_le_bytes([elf[18], elf[19]])
    }

    /// Whether a program header names a dynamic loader (PT_INTERP, 3).
    fn needs_a_loader(elf: &[u8]) -> bool {
        let headers = usize::try_from(u64::from_le_bytes(elf[32..40].try_into().unwrap())).unwrap();
        let size = usize::from(u16::from_le_bytes([elf[54], elf[55]]));
        let count = usize::from(u16::from_le_bytes([elf[56], elf[57]]));
        elf[headers..].chunks(size).take(count).any(|header| header[..4] == [3, 0, 0, 0])
    }

    #[test]
    fn the_hosts_bootstrap_is_there_static_and_small() {
        let elf = for_arch(Arch::host()).unwrap();
        assert_eq!(machine(elf), if Arch::host() == Arch::X86_64 { 62 } else { 183 });
        assert!(!needs_a_loader(elf));
        // glibc brings 900 kB into a static program, and says what it is.
        let glibc = b"GNU C Library";
        let limit = if elf.windows(glibc.len()).any(|bytes| bytes == glibc) { 1_600_000 } else { 700_000 };
        assert!(elf.len() <= limit, "{} bytes of {limit}", elf.len());
    }

    #[test]
    fn no_path_of_the_building_machine_is_in_it() {
        let elf = for_arch(Arch::host()).unwrap();
        let here = env!("CARGO_MANIFEST_DIR").as_bytes();
        assert!(!elf.windows(here.len()).any(|bytes| bytes == here));
    }
}
