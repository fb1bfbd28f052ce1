//! What is in a layer: every entry with its facts, from a zip or a folder, before anybody judges it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::elf;
use crate::layer::manifest::Manifest;
use crate::target::Arch;

use super::AuditError;

mod folder;
mod zip;

/// No more is unpacked, whatever an archive claims or holds: above Lambda's limit nothing else needs to be known, and a
/// zip bomb costs no more than the largest honest layer.
const READ_LIMIT: u64 = 262_144_000;
/// A manifest that is longer is none.
const MANIFEST_LIMIT: u64 = 4 << 20;
/// The kernel's limit for a path, and so for the target of a symbolic link.
const PATH_LIMIT: u64 = 4096;

/// The raw facts of one layer.
#[derive(Debug)]
pub struct Contents {
    pub origin: Origin,
    /// In the order of the archive, names as they stand there.
    pub entries: Vec<Entry>,
    /// Unpacked bytes as the archive claims them; a file that holds more is unreadable.
    pub unzipped: u64,
    /// Why the archive as a whole could not be read, if it could not.
    pub corrupt: Option<String>,
    /// Names that stand in the archive more than once, and how often; only one entry of each is among `entries`.
    pub repeated: BTreeMap<String, usize>,
    pub manifest: ManifestFound,
}

/// Where the layer was read from.
#[derive(Clone, Debug)]
pub enum Origin {
    Zip { path: PathBuf, sha256: Digest, zipped: u64 },
    Folder { path: PathBuf },
}

#[derive(Debug)]
pub enum ManifestFound {
    Absent,
    Sound(Box<Manifest>),
    Unreadable(String),
}

#[derive(Debug)]
pub struct Entry {
    /// Without the slash at the end of a folder's.
    pub name: String,
    /// Permission bits; absent where the archive stores none (made on Windows, for instance).
    pub mode: Option<u32>,
    pub node: Node,
}

#[derive(Debug)]
pub enum Node {
    Folder,
    Symlink { target: String },
    File(Content),
}

/// What the bytes of a file are.
#[derive(Debug)]
pub enum Content {
    Elf(Box<elf::Facts>),
    DamagedElf(String),
    /// The interpreter of the `#!` line, as it stands there.
    Script {
        interpreter: String,
    },
    Data,
    /// The archive's own checksum, or the disk, objected.
    Unreadable(String),
    /// Beyond the read limit.
    Unread,
}

impl Contents {
    /// Reads a zip or a folder. Fails only where there is nothing to read at all.
    pub fn read(path: &Path) -> Result<Self, AuditError> {
        let open = |source| AuditError::Open { path: path.to_owned(), source };
        if fs_err::metadata(path).map_err(open)?.is_dir() { folder::read(path) } else { zip::read(path) }
    }

    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.manifest {
            ManifestFound::Sound(manifest) => Some(manifest),
            ManifestFound::Absent | ManifestFound::Unreadable(_) => None,
        }
    }

    /// The architecture that the layer is for: its manifest's, else that of most of its ELF files. None where it is for
    /// both, or nothing says.
    pub fn arch(&self) -> Option<Arch> {
        if let Some(manifest) = self.manifest() {
            return match manifest.arch.as_slice() {
                [arch] => Some(*arch),
                _ => None,
            };
        }
        let count = |arch| self.elf_files().filter(|(_, facts)| facts.arch() == Some(arch)).count();
        Arch::ALL.into_iter().filter(|arch| count(*arch) > 0).max_by_key(|arch| count(*arch))
    }

    pub fn elf_files(&self) -> impl Iterator<Item = (&Entry, &elf::Facts)> {
        self.entries.iter().filter_map(|entry| match &entry.node {
            Node::File(Content::Elf(facts)) => Some((entry, facts.as_ref())),
            _ => None,
        })
    }
}

/// Reads files within one budget of bytes.
struct Budget {
    left: u64,
}

impl Budget {
    fn new() -> Self {
        Self { left: READ_LIMIT }
    }

    /// Reads one file of a claimed size to its end and says what it is. Only ELF files are held in memory, one at a time.
    fn classify(&mut self, reader: impl Read, claimed: u64) -> Content {
        let Some(left) = self.left.checked_sub(claimed) else {
            self.left = 0;
            return Content::Unread;
        };
        self.left = left;
        let mut reader = reader.take(claimed + 1);
        match classify(&mut reader) {
            Ok(_) if reader.limit() == 0 => Content::Unreadable(more_than(claimed)),
            Ok(content) => content,
            Err(error) => Content::Unreadable(error.to_string()),
        }
    }

    /// Reads a small file of a claimed size whole.
    fn small(&mut self, reader: impl Read, claimed: u64, limit: u64) -> Result<Vec<u8>, String> {
        if claimed > limit || claimed > self.left {
            return Err(format!("{claimed} bytes are too many for it"));
        }
        self.left -= claimed;
        let mut bytes = Vec::new();
        reader.take(claimed + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > claimed { Err(more_than(claimed)) } else { Ok(bytes) }
    }
}

fn more_than(claimed: u64) -> String {
    format!("it holds more than the {claimed} bytes it claims")
}

fn classify(reader: &mut impl Read) -> std::io::Result<Content> {
    let mut start = Vec::new();
    reader.by_ref().take(256).read_to_end(&mut start)?;
    if start.starts_with(&elf::MAGIC) {
        reader.read_to_end(&mut start)?;
        return Ok(match elf::read(&start) {
            Ok(facts) => Content::Elf(Box::new(facts)),
            Err(error) => Content::DamagedElf(error.to_string()),
        });
    }
    std::io::copy(reader, &mut std::io::sink())?;
    Ok(match start.strip_prefix(b"#!") {
        Some(line) => Content::Script { interpreter: shebang(line) },
        None => Content::Data,
    })
}

/// The first word of a `#!` line; a carriage return stays, for it is part of the name to the kernel.
fn shebang(line: &[u8]) -> String {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line).into_owned();
    text.trim_start_matches([' ', '\t']).split([' ', '\t']).next().unwrap_or_default().to_owned()
}

fn parse_manifest(bytes: &[u8]) -> ManifestFound {
    match serde_json::from_slice(bytes) {
        Ok(manifest) => ManifestFound::Sound(Box::new(manifest)),
        Err(error) => ManifestFound::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Policy;
    use crate::target::{Base, Target};

    #[test]
    fn a_script_names_its_interpreter_to_the_byte() {
        assert_eq!(shebang(b"/bin/sh\nset -e"), "/bin/sh");
        assert_eq!(shebang(b" /usr/bin/env php"), "/usr/bin/env");
        assert_eq!(shebang(b"/bin/sh\r\n"), "/bin/sh\r");
        assert_eq!(shebang(b""), "");
    }

    #[test]
    fn what_is_left_unread_is_always_too_large() {
        for base in Base::ALL {
            let policy = Policy::for_target(Target { arch: Arch::X86_64, base });
            assert!(policy.limits.unzipped <= READ_LIMIT);
        }
    }

    #[test]
    fn the_budget_ends_a_bomb() {
        let mut budget = Budget { left: 1000 };
        assert!(matches!(budget.classify(std::io::repeat(0), 400), Content::Unreadable(_)), "more than it claims");
        assert_eq!(budget.left, 600);
        assert!(matches!(budget.classify(&[0; 600][..], 600), Content::Data));
        assert!(matches!(budget.classify(std::io::repeat(0), 1), Content::Unread));
        assert!(matches!(budget.classify(std::io::empty(), 0), Content::Data));
    }
}
