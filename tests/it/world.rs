//! A hermetic place to run phplayer in: its own folder, HOME and store, a cleared environment, normalised output.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

pub struct World {
    dir: TempDir,
}

/// What a run said, with the world's folder shown as `$WORLD`.
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, with its folders.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(name);
        fs_err::create_dir_all(file.parent().expect("it stands in the world")).expect("made");
        fs_err::write(&file, text).expect("written");
        file
    }

    /// phplayer with nothing of the caller's environment but PATH.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phplayer"));
        command.args(arguments).current_dir(self.dir.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").expect("a PATH")).env("HOME", self.path("home"));
        command.env("NO_COLOR", "1").env("CI", "1").env("TMPDIR", std::env::temp_dir());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        self.said(self.command(arguments).output().expect("phplayer starts"))
    }

    pub fn said(&self, output: Output) -> Said {
        let root = fs_err::canonicalize(self.dir.path()).expect("it exists");
        let plain = |bytes: Vec<u8>| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.replace(&*root.to_string_lossy(), "$WORLD").replace(&*self.dir.path().to_string_lossy(), "$WORLD")
        };
        Said { code: output.status.code().unwrap_or(-1), stdout: plain(output.stdout), stderr: plain(output.stderr) }
    }
}
