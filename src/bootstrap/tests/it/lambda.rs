//! Lambda, as far as the bootstrap sees it: a Runtime API, and a sandbox with `/opt`, `/var/task` and a `/tmp` of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

pub use crate::runtime_api::Call;
use crate::runtime_api::{Server, Waiting};

/// A running bootstrap with one function.
pub struct Lambda {
    sandbox: Child,
    server: Server,
    log: Arc<Mutex<String>>,
    folder: PathBuf,
    invocations: u32,
}

/// A function's files, its handler, and variables for its environment.
pub struct Function<'a> {
    pub files: &'a [(&'a str, &'a str)],
    pub handler: &'a str,
    pub env: &'a [(&'a str, &'a str)],
}

impl Lambda {
    pub fn start(function: &Function<'_>) -> Self {
        Self::start_on(function, |_| ())
    }

    /// With a layer that `change` has been at.
    pub fn start_on(function: &Function<'_>, change: impl FnOnce(&Path)) -> Self {
        let folder = scratch();
        let (opt, task) = (folder.join("opt"), folder.join("task"));
        lay_out(&opt);
        change(&opt);
        for (name, content) in function.files {
            let path = task.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let server = Server::start();
        let mut bwrap = Command::new("bwrap");
        bwrap
            .args(["--unshare-user", "--uid", "993", "--gid", "990", "--unshare-pid", "--die-with-parent"])
            .args(["--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc", "--proc", "/proc", "--dev", "/dev"])
            .args(["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin"])
            // Small, so that it can be filled.
            .args(["--size", "67108864", "--tmpfs", "/tmp", "--ro-bind"])
            .arg(&opt)
            .args(["/opt", "--ro-bind"])
            .arg(&task)
            .args(["/var/task", "--chdir", "/var/task", "--clearenv"])
            .args(["--setenv", "PATH", "/usr/bin:/bin:/opt/bin", "--setenv", "LAMBDA_TASK_ROOT", "/var/task"])
            .args(["--setenv", "_HANDLER", function.handler, "--setenv", "AWS_LAMBDA_RUNTIME_API"])
            .arg(server.address.to_string());
        for (name, value) in function.env {
            bwrap.args(["--setenv", name, value]);
        }
        let mut sandbox =
            bwrap.arg("/opt/bootstrap").stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("bubblewrap");
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, copy) = (sandbox.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = copy.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Lambda { sandbox, server, log, folder, invocations: 0 }
    }

    /// One event with a timeout of a minute.
    pub fn invoke(&mut self, event: &Value) -> Call {
        self.invoke_bytes(event.to_string().as_bytes(), Duration::from_secs(60))
    }

    pub fn invoke_bytes(&mut self, event: &[u8], timeout: Duration) -> Call {
        let id = self.hand_out(event, timeout);
        let answer = self.call();
        assert_eq!(answer.call.header("Lambda-Runtime-Invocation-Id"), Some(format!("echo-{id}").as_str()));
        assert!(answer.call.path.contains(&id), "{}", answer.call.path);
        answer.reply(ACCEPTED)
    }

    /// Gives an event to a `/next`, and returns its request id.
    pub fn hand_out(&mut self, event: &[u8], timeout: Duration) -> String {
        let next = self.call();
        assert_eq!(
            (next.call.method.as_str(), next.call.path.as_str()),
            ("GET", "/2018-06-01/runtime/invocation/next"),
            "{}",
            self.log()
        );
        self.invocations += 1;
        let id = format!("request-{}", self.invocations);
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + timeout;
        let head = format!(
            "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {id}\r\nLambda-Runtime-Deadline-Ms: {}\r\n\
             Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:1:function:f\r\n\
             Lambda-Runtime-Trace-Id: Root=1-2-3\r\nLambda-Runtime-Aws-Tenant-Id: blue\r\n\
             Lambda-Runtime-Client-Context: {{\"custom\":{{\"a\":1}}}}\r\n\
             Lambda-Runtime-Cognito-Identity: {{\"cognitoIdentityId\":\"c\"}}\r\n\
             Lambda-Runtime-Invocation-Id: echo-{id}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            deadline.as_millis(),
            event.len()
        );
        next.reply(&[head.as_bytes(), event].concat());
        id
    }

    /// What the bootstrap posts instead of asking for an event, and how it ends.
    pub fn init_error(mut self) -> (Call, ExitStatus) {
        let call = self.call().reply(ACCEPTED);
        assert_eq!(call.path, "/2018-06-01/runtime/init/error", "{call:?}");
        let status = self.sandbox.wait().unwrap();
        (call, status)
    }

    /// Hangs up while the bootstrap waits for an event, and says how it ends.
    pub fn hang_up(mut self) -> ExitStatus {
        let next = self.call();
        self.server.close();
        drop(next);
        self.sandbox.wait().unwrap()
    }

    /// The bootstrap's next call, which must come within two minutes: machines are busy.
    pub fn call(&mut self) -> Waiting {
        for _ in 0..1200 {
            match self.server.calls.recv_timeout(Duration::from_millis(100)) {
                Ok(waiting) => return waiting,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(status) = self.sandbox.try_wait().unwrap() {
                        panic!("the bootstrap ended with {status}: {}", self.log());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        panic!("the bootstrap calls no more: {}", self.log());
    }

    /// Waits for the end of the sandbox.
    pub fn end(mut self) -> ExitStatus {
        self.sandbox.wait().unwrap()
    }

    /// The bootstrap's process, as this machine numbers it.
    pub fn bootstrap(&self) -> i32 {
        let processes: Vec<(i32, i32, String)> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| {
                let stat = fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
                let (head, tail) = stat.rsplit_once(')')?;
                let (process, name) = head.split_once(" (")?;
                let parent = tail.split_whitespace().nth(1)?;
                Some((process.parse().ok()?, parent.parse().ok()?, name.to_owned()))
            })
            .collect();
        let mut below = vec![i32::try_from(self.sandbox.id()).unwrap()];
        while let Some(ancestor) = below.pop() {
            for (process, parent, name) in &processes {
                if *parent == ancestor && name == "bootstrap" {
                    return *process;
                }
                if *parent == ancestor {
                    below.push(*process);
                }
            }
        }
        panic!("there is no bootstrap: {}", self.log())
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        let _ = self.sandbox.kill();
        let _ = self.sandbox.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n\r\n{\"status\":\"OK\"}";

/// What a layer has at `/opt`, with Debian's PHP in the place of ours.
fn lay_out(opt: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["bin", "etc", "phplayer"] {
        fs::create_dir_all(opt.join(folder)).unwrap();
    }
    fs::copy(env!("CARGO_BIN_EXE_bootstrap"), opt.join("bootstrap")).unwrap();
    fs::copy(stand_in(), opt.join("bin/php")).unwrap();
    fs::copy(here.join("php-fpm.conf"), opt.join("etc/php-fpm.conf")).unwrap();
    fs::copy(here.join("php/worker.php"), opt.join("phplayer/worker.php")).unwrap();
}

/// Compiles the stand-in for a layer's PHP, once.
fn stand_in() -> &'static Path {
    static STAND_IN: OnceLock<PathBuf> = OnceLock::new();
    STAND_IN.get_or_init(|| {
        for (program, package) in [
            ("/usr/bin/php8.2", "php8.2-cli"),
            ("/usr/sbin/php-fpm8.2", "php8.2-fpm"),
            ("/usr/bin/bwrap", "bubblewrap"),
        ] {
            assert!(Path::new(program).exists(), "these tests need {program}: apt-get install {package}");
        }
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("php-{}", std::process::id()));
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/opt/php.rs");
        let status = Command::new(rustc).args(["--edition", "2024", "-o"]).arg(&out).arg(source).status().unwrap();
        assert!(status.success());
        out
    })
}

fn scratch() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("lambda-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}
