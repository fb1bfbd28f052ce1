//! The official runtime interface emulator, as the referee: our layers under a program of AWS.
#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

use super::parts::{Running, Task, built, part, system};

/// What Lambda sets and this emulator does not.
const ENVIRONMENT: [(&str, &str); 7] = [
    (
        "LD_LIBRARY_PATH",
        "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    ),
    ("PATH", "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
    ("LAMBDA_TASK_ROOT", "/var/task"),
    ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
    ("LANG", "en_US.UTF-8"),
    ("TZ", ":UTC"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024"),
];

/// One function under it. It takes one event at a time.
pub struct Rie {
    _process: Running,
    _opt: tempfile::TempDir,
    address: String,
}

impl Rie {
    /// Both layers merged at `/opt` in order, the function at `/var/task`, as on Lambda.
    pub fn start(task: &Task, handler: &str) -> Self {
        let opt = tempfile::tempdir().unwrap();
        for zip in ["runtime.zip", "vendor.zip"] {
            system(
                "unzip",
                ["-q".as_ref(), "-o".as_ref(), built(zip).as_os_str(), "-d".as_ref(), opt.path().as_os_str()],
            );
        }
        let (api, address) = (free(), free());
        let mut bwrap = Command::new("bwrap");
        bwrap.args(["--unshare-user", "--uid", "993", "--gid", "990", "--unshare-pid", "--unshare-ipc"]);
        bwrap.args(["--die-with-parent", "--new-session", "--ro-bind", "/usr", "/usr"]);
        for name in ["/bin", "/sbin", "/lib", "/lib64"].map(Path::new) {
            match fs::read_link(name) {
                Ok(target) => bwrap.arg("--symlink").arg(target).arg(name),
                Err(_) => bwrap.arg("--ro-bind").arg(name).arg(name),
            };
        }
        bwrap.args(["--ro-bind", "/etc", "/etc", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
        bwrap.arg("--ro-bind").arg(opt.path()).arg("/opt");
        bwrap.arg("--ro-bind").arg(task.path()).arg("/var/task");
        bwrap.arg("--ro-bind").arg(part("RIE")).arg("/var/rie");
        bwrap.args(["--dir", "/var/runtime", "--remount-ro", "/", "--chdir", "/var/task", "--clearenv"]);
        let user = task.env.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in ENVIRONMENT.into_iter().chain(user) {
            bwrap.args(["--setenv", name, value]);
        }
        bwrap.args(["--", "/var/rie", "--runtime-api-address", &api, "--runtime-interface-emulator-address", &address]);
        bwrap.args(["/opt/bootstrap", handler]);
        // It says so just before it listens, and a connection is refused until then.
        let (process, ()) = Running::until(&mut bwrap, |line| line.contains("exec '/opt/bootstrap'").then_some(()));
        while std::net::TcpStream::connect(&address).is_err() {
            std::thread::yield_now();
        }
        Self { _process: process, _opt: opt, address }
    }

    /// The response, which is an error's JSON too: this emulator answers 200 to both.
    pub fn invoke(&self, event: &str) -> String {
        let url = format!("http://{}/2015-03-31/functions/function/invocations", self.address);
        ureq::post(&url).send(event).unwrap().into_body().read_to_string().unwrap()
    }
}

/// An address that nobody listens at just now. (The emulator cannot be told to choose one and say which.)
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
