//! The real parts that tests/run has started or built, and phplayer's program as its users run it.
#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use fs_err::File;
use walkdir::WalkDir;

/// What tests/run says about a part: `PHPLAYER_TEST_NAME`.
pub fn part(name: &str) -> String {
    let name = format!("PHPLAYER_TEST_{name}");
    std::env::var(&name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `bash tests/run`, which starts what this needs"))
}

/// A file of the built layers' folder.
pub fn built(file: &str) -> PathBuf {
    Path::new(&part("OUT")).join(file)
}

/// A file of the certificates' folder: `ca.pem`, `other-ca.pem`, `server.pem`, `server.key`.
pub fn certificate(file: &str) -> PathBuf {
    Path::new(&part("TLS")).join(file)
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// What is on stdout, if all went well.
    pub fn answer(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }

    pub fn json(self) -> serde_json::Value {
        let answer = self.answer();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error} in {answer}"))
    }

    /// The steps that a build says it has compiled, sorted.
    pub fn compiled(&self) -> Vec<&str> {
        let lines = self.stderr.lines().filter_map(|line| line.trim_start().strip_prefix("Compile "));
        let mut steps: Vec<_> = lines.filter_map(|line| line.split_whitespace().next()).collect();
        steps.sort_unstable();
        steps
    }
}

pub fn phplayer(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phplayer"));
    command.current_dir(repository()).args(words);
    command
}

pub fn run(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A function's folder and environment, for any emulator.
pub struct Task {
    folder: tempfile::TempDir,
    pub env: Vec<(&'static str, String)>,
}

impl Task {
    /// One file, and the authority's certificate.
    pub fn of(file: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(file), text).unwrap();
        // As old as a deployed one: opcache leaves out what was written just now (opcache.file_update_protection).
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        File::open(folder.path().join(file)).unwrap().set_modified(hour_ago).unwrap();
        fs::copy(certificate("ca.pem"), folder.path().join("ca.pem")).unwrap();
        Self { folder, env: Vec::new() }
    }

    /// A copy of a folder, with this authority's certificate in it.
    pub fn copy(original: &Path, authority: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in WalkDir::new(original).into_iter().map(Result::unwrap) {
            let to = folder.path().join(entry.path().strip_prefix(original).unwrap());
            if entry.file_type().is_dir() {
                fs::create_dir_all(to).unwrap();
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
        fs::copy(certificate(authority), folder.path().join("ca.pem")).unwrap();
        Self { folder, env: Vec::new() }
    }

    /// examples/lamp with this authority's certificate in it, set up for tests/run's MySQL.
    pub fn lamp(authority: &str) -> Self {
        let mut task = Self::copy(&repository().join("examples/lamp"), authority);
        let address = part("MYSQL");
        let (host, port) = address.split_once(':').unwrap();
        let env = [
            ("DB_HOST", host),
            ("DB_PORT", port),
            ("DB_USER", "app"),
            ("DB_PASSWORD", "secret"),
            ("DB_NAME", "shop"),
            ("DB_CA", "/var/task/ca.pem"),
        ];
        task.env = env.map(|(name, value)| (name, value.to_owned())).into();
        task
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `phplayer invoke` or `phplayer serve` with both layers.
    pub fn phplayer(&self, verb: &str, handler: &str) -> Command {
        let mut command = phplayer(&[verb, "--handler", handler, "--task"]);
        command.arg(self.path());
        for zip in ["runtime.zip", "vendor.zip"] {
            command.arg("--layer").arg(built(zip));
        }
        for (name, value) in &self.env {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        // Where qemu finds the C library of a layer for another architecture.
        if std::env::var_os("QEMU_LD_PREFIX").is_some() {
            command.args(["--env", "QEMU_LD_PREFIX"]);
        }
        command
    }
}

/// A program of ours that runs until this is dropped.
pub struct Running(Child);

impl Running {
    /// Starts it and reads its stderr until a line that `found` knows; what it says later is read and forgotten.
    pub fn until<T>(command: &mut Command, found: impl Fn(&str) -> Option<T>) -> (Self, T) {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let running = Self(child);
        let mut said = String::new();
        loop {
            let start = said.len();
            assert!(lines.read_line(&mut said).unwrap() > 0, "{command:?} ended:\n{said}");
            if let Some(found) = found(&said[start..]) {
                thread::spawn(move || lines.read_to_end(&mut Vec::new()));
                return (running, found);
            }
        }
    }

    /// Asks it to end, as a user's `kill` does, and says with which code it did.
    pub fn end(mut self) -> Option<i32> {
        assert!(Command::new("kill").arg(self.0.id().to_string()).status().unwrap().success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or its test fails anyway.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `phplayer serve`, and where it answers.
pub fn serve(task: &Task, handler: &str) -> (Running, String) {
    Running::until(task.phplayer("serve", handler).args(["--port", "0"]), |line| {
        line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
    })
}

/// The body of a page that answers 200.
pub fn get(url: &str) -> String {
    ureq::get(url).call().unwrap().into_body().read_to_string().unwrap()
}

/// A path as an option's value.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What a zip holds under a name.
pub fn unzipped(zip: &Path, name: &str) -> Vec<u8> {
    let mut zip = zip::ZipArchive::new(File::open(zip).unwrap()).unwrap();
    let mut bytes = Vec::new();
    zip.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// Runs a program of the system; it must succeed.
pub fn system(program: &str, words: impl IntoIterator<Item = impl AsRef<OsStr>>) {
    let ran = run(Command::new(program).args(words));
    assert_eq!(ran.code, Some(0), "{program}: {}", ran.stderr);
}
