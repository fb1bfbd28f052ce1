//! AWS Lambda on this machine: packed layers at `/opt`, a function at `/var/task`, the Runtime API between us and it.
//!
//! ```text
//! HTTP ──gateway──▶ Front ──event──▶ Instance ──▶ RuntimeApi ◀── bootstrap, in its Sandbox
//! ```
//! An [`Instance`] is one execution environment: it takes one event at a time, and survives whatever its runtime does.

pub mod clock;
pub mod environment;
pub mod example;
pub mod front;
pub mod function;
pub mod gateway;
pub mod history;
pub mod http;
mod instance;
mod invocation;
mod page;
mod processes;
mod runtime_api;
pub mod sandbox;
pub mod unpack;
mod watch;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use example::Example;
pub use front::Front;
pub use function::{Function, Initialization};
pub use instance::{Instance, InvokeOptions, ResponseStream};
pub use invocation::{Exit, Invocation, Outcome};

/// A synchronous request or response, in bytes: 6 MiB and the 100 that Lambda adds.
pub const PAYLOAD_LIMIT: u64 = 6_291_556;
/// A streamed response, in bytes.
pub const STREAM_LIMIT: u64 = 200 * 1024 * 1024;

/// Receives each line of the log, without its end: the function's output and Lambda's own lines, in order. Called from
/// several threads.
pub type LogSink = Arc<dyn Fn(&str) + Send + Sync>;

/// A wish to end, made from another thread or by Ctrl-C: what runs is killed, and its caller gets
/// [`EmulatorError::Interrupted`].
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn wished(&self) -> bool {
        self.0.load(Ordering::Relaxed) || crate::process::interrupted()
    }
}

/// Why nothing could be run. What the function itself does wrong is an [`Outcome`] instead.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum EmulatorError {
    #[error("bubblewrap (`bwrap`) is not installed: it makes the sandbox that functions run in")]
    #[diagnostic(help("install it: `apt-get install bubblewrap`, `dnf install bubblewrap` or `apk add bubblewrap`"))]
    NoBubblewrap,

    #[error("bubblewrap cannot make a sandbox here: {reason}")]
    #[diagnostic(help(
        "it needs unprivileged user namespaces: `sysctl user.max_user_namespaces` must not be 0; on Ubuntu 24.04 and \
         later also `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`; in Docker, \
         `--security-opt seccomp=unconfined --security-opt systempaths=unconfined`"
    ))]
    SandboxRefused { reason: String },

    #[error("there is no layer {}", layer.display())]
    #[diagnostic(help("`phplayer build` makes runtime.zip and vendor.zip under out/"))]
    LayerMissing { layer: PathBuf },

    #[error("no layer is built for {arch}: {} has no folder `*-{arch}` with a runtime.zip", out.display())]
    #[diagnostic(help("build one with `phplayer build`, or name the zips: `--layer runtime.zip --layer vendor.zip`"))]
    NothingBuilt { out: PathBuf, arch: crate::target::Arch },

    #[error("several layers are built for {arch}: {}", choices.join(", "))]
    #[diagnostic(help("name one: `--layer {}/runtime.zip`", choices[0]))]
    SeveralBuilt { arch: crate::target::Arch, choices: Vec<String> },

    #[error("{} is not a readable zip", layer.display())]
    #[diagnostic(help("a layer is a zip file; `phplayer audit` says more about a damaged one"))]
    NotAZip { layer: PathBuf, source: zip::result::ZipError },

    #[error("{}: the entry `{entry}` is refused: {why}", layer.display())]
    #[diagnostic(help("everything in a layer must lie under its root, which becomes /opt"))]
    EntryRefused { layer: PathBuf, entry: String, why: &'static str },

    #[error("{} cannot be unpacked", layer.display())]
    Layer { layer: PathBuf, source: io::Error },

    #[error("{count} layers are given; a function takes at most 5")]
    #[diagnostic(help("put what belongs together into one layer"))]
    TooManyLayers { count: usize },

    #[error("the function and its layers unpack to more than {limit} bytes, which Lambda refuses")]
    #[diagnostic(help("leave out what the function does not need: `phplayer build --sizes` says what each part adds"))]
    TooLarge { limit: u64 },

    #[error("the function's folder {} does not exist", task.display())]
    #[diagnostic(help("`--task` names the folder that becomes /var/task"))]
    TaskMissing { task: PathBuf },

    #[error("no bootstrap: neither {}/bootstrap nor one of the layers' `bootstrap` exists", task.display())]
    #[diagnostic(help("runtime.zip brings it: is it among the layers?"))]
    NoBootstrap { task: PathBuf },

    #[error("`{name}` is no name that Lambda takes for an environment variable")]
    #[diagnostic(help("two characters or more: a letter, then letters, digits and underscores"))]
    VariableName { name: String },

    #[error("the value of `{name}` contains a NUL byte")]
    #[diagnostic(help("no process can be given one; encode the value, for example as base64"))]
    VariableValue { name: String },

    #[error("`{name}` is set by Lambda and cannot be given")]
    #[diagnostic(help("choose another name; name, memory and handler have options of their own"))]
    ReservedVariable { name: String },

    #[error("the environment variables are {size} bytes together; Lambda takes {limit}")]
    #[diagnostic(help("keep large values in a file of the function or in a parameter store"))]
    EnvironmentTooLarge { size: usize, limit: usize },

    #[error("the event is not JSON")]
    #[diagnostic(help("Lambda takes any JSON value; a string needs its quotes"))]
    EventNotJson { source: serde_json::Error },

    #[error("the event is not UTF-8, so it is no JSON")]
    #[diagnostic(help("send binary data as base64"))]
    EventNotUtf8 { source: std::str::Utf8Error },

    #[error("the event is {size} bytes; Lambda takes {PAYLOAD_LIMIT}")]
    #[diagnostic(help("put large data into S3 and send its key"))]
    EventTooLarge { size: u64 },

    #[error("port {port} is in use")]
    #[diagnostic(help("choose another with `--port N`; `--port 0` takes a free one"))]
    PortInUse { port: u16 },

    #[error("port {port} cannot be listened on")]
    #[diagnostic(help("ports below 1024 are the administrator's; choose another with `--port N`"))]
    Port { port: u16, source: io::Error },

    #[error("interrupted")]
    Interrupted,

    #[error("the emulator cannot {doing}")]
    Io { doing: &'static str, source: io::Error },
}

impl EmulatorError {
    /// Names what was being done when the system refused.
    fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
