//! The runtime's process in its sandbox: what it sees of this machine, its log, its end.
//!
//! bubblewrap without root: `/opt` and `/var/task` read-only, a private `/tmp`, the host's `/usr`, an `/etc` of our own,
//! the host's network (the function must reach its database and our Runtime API). Everything in it dies with it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

use super::{EmulatorError, Exit, LogSink};
use crate::process;

/// A line that no function writes; what was written before it has been read when it is.
const FENCE: &[u8] = b"\0\0fence\0\0\n";
/// CloudWatch's limit for one event; a longer line is broken there.
const LINE_LIMIT: u64 = 256 * 1024;
/// Lambda's limit for open files, soft and hard.
const OPEN_FILES: &str = "ulimit -n 1024; exec \"$0\" \"$@\"";
/// How often a runtime that was asked to end is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// Where distributions keep the certificates of the authorities they trust.
const CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The folders of one execution environment, which outlive its runtimes.
#[derive(Debug)]
pub struct Places {
    bwrap: PathBuf,
    home: tempfile::TempDir,
    pub task: PathBuf,
}

impl Places {
    /// Fresh folders; `task` must exist.
    pub fn new(task: &Path) -> Result<Self, EmulatorError> {
        // By its full path, since the sandbox's own PATH is not where it is to be looked for.
        let bwrap = process::find("bwrap").ok_or(EmulatorError::NoBubblewrap)?;
        let failed = EmulatorError::io("make its folders");
        let made = || {
            let task = fs::canonicalize(task)?;
            let home = tempfile::Builder::new().prefix("phplayer-").tempdir()?;
            for name in ["opt", "tmp", "etc"] {
                fs::create_dir(home.path().join(name))?;
            }
            // Uid 993 is what Lambda's own emulator drops to; nothing should depend on it.
            fs::write(
                home.path().join("etc/passwd"),
                "root:x:0:0:root:/root:/sbin/nologin\nsbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n",
            )?;
            fs::write(home.path().join("etc/group"), "root:x:0:\nsbx_user1051:x:990:\n")?;
            Ok(Self { bwrap, home, task })
        };
        made().map_err(failed)
    }

    /// Takes away what runtimes have left in `/tmp`, as a new execution environment has nothing in it.
    pub fn clear_tmp(&self) -> Result<(), EmulatorError> {
        let tmp = self.home.path().join("tmp");
        fs::remove_dir_all(&tmp).and_then(|()| fs::create_dir(&tmp)).map_err(EmulatorError::io("empty /tmp"))
    }

    pub fn opt(&self) -> PathBuf {
        self.home.path().join("opt")
    }

    /// What the sandbox has as `/tmp`.
    pub fn tmp(&self) -> PathBuf {
        self.home.path().join("tmp")
    }

    /// What bubblewrap is told.
    fn arguments(&self) -> Vec<OsString> {
        let mut all = Arguments(Vec::new());
        all.add(["--unshare-user", "--uid", "993", "--gid", "990"]);
        all.add(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "localhost"]);
        all.add(["--die-with-parent", "--new-session"]);
        all.add(["--ro-bind", "/usr", "/usr"]);
        for name in ["/bin", "/sbin", "/lib", "/lib64"] {
            match fs::read_link(name) {
                Ok(target) => all.mount("--symlink", &target, name),
                Err(_) => all.mount("--ro-bind-try", Path::new(name), name),
            }
        }
        for name in ["resolv.conf", "hosts", "nsswitch.conf", "services", "protocols", "ld.so.cache", "alternatives"] {
            let path = format!("/etc/{name}");
            all.mount("--ro-bind-try", Path::new(&path), &path);
        }
        for name in ["passwd", "group"] {
            all.mount("--ro-bind", &self.home.path().join("etc").join(name), &format!("/etc/{name}"));
        }
        for name in ["/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/ca-trust"] {
            all.mount("--ro-bind-try", Path::new(name), name);
        }
        if let Some(bundle) = CERTIFICATES.iter().find(|path| Path::new(path).is_file()) {
            all.mount("--ro-bind", Path::new(bundle), "/etc/pki/tls/certs/ca-bundle.crt");
        }
        all.mount("--ro-bind", &self.opt(), "/opt");
        all.mount("--ro-bind", &self.task, "/var/task");
        all.add(["--dir", "/var/runtime", "--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]);
        all.mount("--bind", &self.home.path().join("tmp"), "/tmp");
        all.add(["--remount-ro", "/", "--chdir", "/var/task"]);
        all.0
    }
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn add<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(OsString::from));
    }

    fn mount(&mut self, kind: &str, from: &Path, to: &str) {
        self.0.extend([kind.into(), from.into(), to.into()]);
    }
}

/// A started runtime. Dropping it kills every process in the sandbox.
pub struct Sandbox {
    process: Arc<duct::Handle>,
    log: PipeWriter,
    fences: Receiver<()>,
    complaint: Complaint,
}

/// What bubblewrap itself said, if it was the first to speak.
type Complaint = Arc<Mutex<Option<String>>>;

impl Sandbox {
    /// Starts `bootstrap` with exactly `environment`, its output going to `sink`; `ended` hears of its end.
    ///
    /// The thread that calls this must live as long as the sandbox: the kernel kills the sandbox with it.
    pub fn start(
        places: &Places,
        bootstrap: &str,
        environment: &BTreeMap<String, String>,
        sink: LogSink,
        ended: impl FnOnce(Exit) + Send + 'static,
    ) -> Result<Self, EmulatorError> {
        let mut arguments = places.arguments();
        let mut outside = environment.clone();
        // Given as an argument, since in bubblewrap's own environment it would choose bubblewrap's own libraries. All
        // others go through the environment, where other users cannot read them.
        if let Some(path) = outside.remove("LD_LIBRARY_PATH") {
            arguments.extend(["--setenv".into(), "LD_LIBRARY_PATH".into(), path.into()]);
        }
        // Some shells leave these behind.
        for name in ["SHLVL", "OLDPWD", "_"].into_iter().filter(|name| !environment.contains_key(*name)) {
            arguments.extend(["--unsetenv".into(), name.into()]);
        }
        arguments.extend(["--".into(), bootstrap.into()]);
        let started = || {
            let (reader, writer) = io::pipe()?;
            // The shell sets the limit that std has no call for, and becomes bubblewrap. It costs 0.6 ms.
            let mut words: Vec<OsString> = vec!["-c".into(), OPEN_FILES.into(), places.bwrap.clone().into()];
            words.extend(arguments);
            let process = duct::cmd("/bin/sh", words)
                .full_env(outside)
                .stdin_null()
                .stdout_file(writer.try_clone()?)
                .stderr_file(writer.try_clone()?)
                .unchecked()
                // A group of its own: the terminal's Ctrl-C is for us, who then end it.
                .before_spawn(|command| {
                    command.process_group(0);
                    Ok(())
                })
                .start()?;
            Ok((reader, writer, Arc::new(process)))
        };
        let (reader, log, process) = started().map_err(EmulatorError::io("start bubblewrap"))?;
        let complaint = Complaint::default();
        let (passed, fences) = channel();
        let heard = Arc::clone(&complaint);
        thread::spawn(move || read_log(reader, &sink, &heard, &passed));
        let waiting = Arc::clone(&process);
        thread::spawn(move || {
            if let Ok(output) = waiting.wait() {
                ended(Exit::of(output.status));
            }
        });
        Ok(Self { process, log, fences, complaint })
    }

    /// Waits until everything written so far has reached the log.
    pub fn flush_log(&self) {
        // A process that fills its pipe and never lets the reader catch up must not hold us: the log is then late.
        if (&self.log).write_all(FENCE).is_ok() {
            let _ = self.fences.recv_timeout(Duration::from_secs(1));
        }
    }

    /// What bubblewrap said when it could not start the bootstrap.
    pub fn complaint(&self) -> Option<String> {
        self.flush_log();
        self.complaint.lock().ok()?.take()
    }

    /// The processes in it, as this machine numbers them. None where `/proc` does not tell.
    pub fn processes(&self) -> Option<Vec<u32>> {
        super::processes::all(*self.process.pids().first()?)
    }

    /// Bytes that its processes use now.
    pub fn memory(&self) -> Option<u64> {
        super::processes::memory(*self.process.pids().first()?)
    }

    /// Asks the runtime to end (SIGTERM) and gives it so long for it.
    pub fn terminate(&self, grace: Duration) {
        let runtime = self.process.pids().first().copied().and_then(super::processes::runtime);
        let runtime = runtime.and_then(|process| Pid::from_raw(i32::try_from(process).ok()?));
        let Some(runtime) = runtime else { return };
        if kill_process(runtime, Signal::TERM).is_err() {
            return;
        }
        let end = Instant::now() + grace;
        while Instant::now() < end && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // bubblewrap dies, the kernel then kills the sandbox's process 1, and with that all others in it: a moment later,
        // in which the runtime would complain that there is no Runtime API any more.
        let processes = self.processes().unwrap_or_default();
        let _ = self.process.kill();
        let _ = self.process.wait();
        super::processes::wait_for_end(&processes);
        self.flush_log();
    }
}

fn read_log(reader: PipeReader, sink: &LogSink, complaint: &Mutex<Option<String>>, passed: &Sender<()>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    let mut first = true;
    loop {
        line.clear();
        match (&mut reader).take(LINE_LIMIT).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let (text, fence) = match line.strip_suffix(FENCE) {
            Some(text) => (text, true),
            None => (line.strip_suffix(b"\n").unwrap_or(&line), false),
        };
        if !(fence && text.is_empty()) {
            let text = String::from_utf8_lossy(text);
            match text.strip_prefix("bwrap: ") {
                Some(said) if first => {
                    if let Ok(mut complaint) = complaint.lock() {
                        *complaint = Some(said.to_owned());
                    }
                }
                _ => sink(&text),
            }
            first = false;
        }
        if fence && passed.send(()).is_err() {
            return;
        }
    }
}
