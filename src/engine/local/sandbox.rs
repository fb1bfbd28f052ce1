//! The arguments of bubblewrap for one step: no network, read-only inputs, fixed paths, a cleared environment.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::Store;
use crate::toolchain::Toolchain;

/// Times inside outputs: the first second of 1980 that a zip can hold, in UTC.
const SOURCE_DATE_EPOCH: &str = "315532800";

/// What of the host a step sees: programs and libraries, nothing of its own headers' use (`cc` hides those).
const HOST: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/alternatives", "/etc/ld.so.cache"];

pub(super) struct Sandbox {
    mounts: Vec<OsString>,
    environment: Vec<(String, OsString)>,
}

impl Sandbox {
    pub fn new(toolchain: &Toolchain, store: &Store) -> io::Result<Self> {
        let mut sandbox = Self { mounts: Vec::new(), environment: Vec::new() };
        for path in HOST.iter().map(Path::new).filter(|path| path.exists()) {
            match fs_err::read_link(path) {
                Ok(target) => sandbox.add(["--symlink".into(), target.into(), path.into()]),
                Err(_) => sandbox.read_only(path, &path.to_string_lossy()),
            }
        }
        // The host's own /opt and the like must not shine through: these folders are the sandbox's.
        sandbox.add(["--proc".into(), "/proc".into(), "--dev".into(), "/dev".into(), "--tmpfs".into(), "/tmp".into()]);
        for (host, place) in toolchain.mounts() {
            sandbox.read_only(&host, place);
        }
        for name in toolchain.names() {
            sandbox.add(["--symlink".into(), "/toolchain/phplayer".into(), format!("/toolchain/bin/{name}").into()]);
        }
        let cache = store.root().join("zig-cache");
        fs_err::create_dir_all(&cache)?;
        sandbox.writable(&cache, "/toolchain/cache");
        let fixed = [("HOME", "/build"), ("LC_ALL", "C"), ("TZ", "UTC"), ("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)];
        sandbox.environment(fixed.map(|(name, value)| (name.to_owned(), value.into())).to_vec());
        sandbox
            .environment(toolchain.environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        Ok(sandbox)
    }

    fn add<const N: usize>(&mut self, words: [OsString; N]) {
        self.mounts.extend(words);
    }

    pub fn read_only(&mut self, host: &Path, place: &str) {
        self.add(["--ro-bind".into(), host.into(), place.into()]);
    }

    pub fn writable(&mut self, host: &Path, place: &str) {
        self.add(["--bind".into(), host.into(), place.into()]);
    }

    pub fn environment(&mut self, variables: Vec<(String, OsString)>) {
        self.environment.extend(variables);
    }

    /// bubblewrap's arguments to run a script.
    pub fn run(&self, script: &str) -> Vec<OsString> {
        let mut all = self.arguments();
        // With its own session a step cannot push keys into the user's terminal.
        all.push("--new-session".into());
        all.extend(["--".into(), "/bin/sh".into(), "-c".into(), script.into()]);
        all
    }

    /// bubblewrap's arguments for a person.
    pub fn shell(&self) -> Vec<OsString> {
        let mut all = self.arguments();
        let hello = "echo 'The step is in .phplayer-step: run it with  sh -x .phplayer-step'; exec /bin/bash --norc";
        all.extend(["--".into(), "/bin/sh".into(), "-c".into(), hello.into()]);
        all
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = [
            "--unshare-user",
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-uts",
            "--unshare-cgroup-try",
            "--die-with-parent",
            "--hostname",
            "phplayer",
            "--uid",
            "1000",
            "--gid",
            "1000",
        ]
        .map(OsString::from)
        .to_vec();
        all.extend(self.mounts.iter().cloned());
        all.push("--clearenv".into());
        for (name, value) in &self.environment {
            all.extend(["--setenv".into(), name.into(), value.clone()]);
        }
        all.extend(["--chdir".into(), PathBuf::from("/build").into()]);
        all
    }
}
