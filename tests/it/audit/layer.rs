//! Layers made for a test: sound, broken and hostile ones.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use phplayer::audit::{Policy, Report, inspect};
use phplayer::target::{Arch, Base, Target};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A layer zip in the making.
pub struct Layer {
    zip: ZipWriter<Cursor<Vec<u8>>>,
}

impl Layer {
    pub fn new() -> Self {
        Self { zip: ZipWriter::new(Cursor::new(Vec::new())) }
    }

    /// A runtime layer with nothing to object to.
    pub fn runtime() -> Self {
        Self::new().file("bootstrap", 0o755, b"#!/bin/sh\n").file("bin/php", 0o755, &elf("program"))
    }

    pub fn file(mut self, name: &str, mode: u32, bytes: &[u8]) -> Self {
        self.zip.start_file(name, SimpleFileOptions::default().unix_permissions(mode)).expect("an entry");
        self.zip.write_all(bytes).expect("memory");
        self
    }

    pub fn elf(self, name: &str, fixture: &str) -> Self {
        self.file(name, 0o755, &elf(fixture))
    }

    pub fn link(mut self, name: &str, target: &str) -> Self {
        self.zip.add_symlink(name, target, SimpleFileOptions::default()).expect("an entry");
        self
    }

    pub fn folder(mut self, name: &str, mode: u32) -> Self {
        self.zip.add_directory(name, SimpleFileOptions::default().unix_permissions(mode)).expect("an entry");
        self
    }

    pub fn manifest(self, changes: &[(&str, serde_json::Value)]) -> Self {
        let mut manifest = serde_json::json!({
            "schema": 1, "kind": "runtime", "layer": "php-84-x86_64", "description": "", "license": "",
            "recipe": "php-84", "base": "al2023", "arch": ["x86_64"], "versions": {},
        });
        for (key, value) in changes {
            manifest[key] = value.clone();
        }
        self.file("phplayer/manifest.json", 0o644, manifest.to_string().as_bytes())
    }

    pub fn bytes(self) -> Vec<u8> {
        self.zip.finish().expect("memory").into_inner()
    }

    pub fn report(self) -> Report {
        audit(&self.bytes(), Arch::X86_64).0
    }
}

pub fn elf(fixture: &str) -> Vec<u8> {
    fs_err::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/elf").join(fixture)).expect("a fixture")
}

pub fn policy(arch: Arch) -> Policy {
    Policy::for_target(Target { arch, base: Base::Al2023 })
}

pub fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("layer.zip");
    fs_err::write(&path, bytes).expect("a file");
    (folder, path)
}

pub fn audit(bytes: &[u8], arch: Arch) -> (Report, TempDir) {
    let (folder, path) = written(bytes);
    (inspect(&path, &policy(arch)).expect("a report"), folder)
}

/// Replaces every occurrence of a name by one of the same length: for names that the writer refuses.
pub fn renamed(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from.as_bytes()).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// Says another unpacked size in both headers of a zip with one entry.
pub fn claiming(mut bytes: Vec<u8>, size: u32) -> Vec<u8> {
    let record = bytes.windows(4).position(|window| window == b"PK\x01\x02").expect("a central directory");
    bytes[22..26].copy_from_slice(&size.to_le_bytes());
    bytes[record + 24..record + 28].copy_from_slice(&size.to_le_bytes());
    bytes
}
