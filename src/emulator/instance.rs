//! One execution environment: its runtime is started, given one event at a time, killed when it must be, started again.

mod log;
mod runtime;

use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;

use super::clock::Clock;
use super::http::Headers;
use super::runtime_api::{Task, Wish};
use super::sandbox::Places;
use super::{
    EmulatorError, Exit, Function, Initialization, Invocation, LogSink, Outcome, PAYLOAD_LIMIT, Stop, environment,
    unpack,
};
use log::milliseconds;
use runtime::{Limit, Runtime, Waited};

/// What a runtime has before its first question; a longer init is cut and repeated within the first invocation.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// What it has before a snapshot, where the function's timeout is not longer still.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(130);
/// What it has between its snapshot and its first question.
const RESTORE_LIMIT: Duration = Duration::from_secs(10);
/// How often memory and the wish to stop are looked at while a function runs. A function that takes more than its memory
/// for less than this is not noticed.
const LOOK: Duration = Duration::from_millis(50);

/// What the caller of an invocation may add to its event.
#[derive(Clone, Debug, Default)]
pub struct InvokeOptions {
    /// JSON, as the runtime gets it.
    pub client_context: Option<String>,
    /// The trace that the event belongs to, `Root=1-…`; None begins one.
    pub trace: Option<String>,
}

/// Who takes a streamed response as it comes.
pub trait ResponseStream {
    /// The runtime begins to stream.
    fn begin(&mut self, content_type: &str);
    /// A piece of any size has come.
    fn piece(&mut self, bytes: Vec<u8>);
}

/// Fields drop in order: the runtime, which may have time to end well, before the folders that it works in.
pub struct Instance {
    /// None before a start and after a death: the next event starts it.
    runtime: Option<Runtime>,
    function: Function,
    places: Places,
    bootstrap: &'static str,
    log_stream: String,
    sink: LogSink,
    stop: Stop,
    /// How the environment began, until an invocation has reported it.
    begun: Option<Begun>,
    /// The most bytes seen in use, and when that was last looked at while something ran.
    memory: Option<u64>,
    looked: Instant,
}

/// How an execution environment came to wait for its first event, and how long that took.
#[derive(Clone, Copy, Debug)]
enum Begun {
    Init(Duration),
    Restore(Duration),
}

/// When the runtime was started.
#[derive(Clone, Copy)]
enum Phase {
    Init,
    /// Again, within an invocation.
    Invoke,
}

impl Instance {
    /// Unpacks the layers and runs the init phase.
    ///
    /// A runtime that fails to start is no error here: as on Lambda, the first invocation tries again and reports it.
    /// The thread that calls this and [`Instance::invoke`] must outlive the instance; its end ends the sandbox.
    pub fn start(function: &Function, sink: LogSink, stop: Stop) -> Result<Self, EmulatorError> {
        environment::check(&function.env)?;
        if !function.task.is_dir() {
            return Err(EmulatorError::TaskMissing { task: function.task.clone() });
        }
        let places = Places::new(&function.task)?;
        unpack::merge(&function.layers, &places.opt(), unpack::size(&places.task))?;
        let bootstrap = bootstrap(&places).ok_or(EmulatorError::NoBootstrap { task: function.task.clone() })?;
        let function = function.clone();
        let (log_stream, runtime, begun, memory, looked) = (String::new(), None, None, None, Instant::now());
        let mut instance = Self { function, places, bootstrap, log_stream, sink, stop, runtime, begun, memory, looked };
        instance.begin()?;
        Ok(instance)
    }

    /// Replaces the execution environment by a fresh one, as a deployment of the function's code does: other processes, an
    /// empty `/tmp`, an init phase. The layers stay.
    pub fn renew(&mut self) -> Result<(), EmulatorError> {
        self.runtime = None;
        let missing = || EmulatorError::NoBootstrap { task: self.function.task.clone() };
        if !self.places.task.is_dir() {
            return Err(EmulatorError::TaskMissing { task: self.function.task.clone() });
        }
        self.bootstrap = bootstrap(&self.places).ok_or_else(missing)?;
        self.places.clear_tmp()?;
        self.memory = None;
        self.begin()
    }

    /// The init phase of an environment.
    fn begin(&mut self) -> Result<(), EmulatorError> {
        self.log_stream = format!("{}/[$LATEST]{}", Clock::now().day(), uuid()?.replace('-', ""));
        self.line("INIT_START Runtime Version: provided:al2023.phplayer\tRuntime Version ARN: none");
        let length = match self.function.initialization {
            Initialization::OnDemand => INIT_LIMIT,
            Initialization::SnapStart => SNAPSHOT_LIMIT.max(self.function.timeout),
        };
        self.begun = self.initialise(Limit::from(Instant::now(), length), Phase::Init)?.ok();
        self.look_at_memory();
        // So that nothing of the start is told after the first event's beginning.
        self.flush_log();
        Ok(())
    }

    /// Gives the function an event and waits for what comes of it. Whatever the function does is in the outcome.
    ///
    /// Source of what is refused: Lambda's Invoke API.
    pub fn invoke(&mut self, event: &[u8], options: &InvokeOptions) -> Result<Invocation, EmulatorError> {
        self.take(event, options, None)
    }

    /// The same for a caller who takes a streamed response as it comes (Lambda's InvokeWithResponseStream). One that is not
    /// streamed is in the outcome as ever.
    pub fn invoke_streaming(
        &mut self,
        event: &[u8],
        options: &InvokeOptions,
        stream: &mut dyn ResponseStream,
    ) -> Result<Invocation, EmulatorError> {
        self.take(event, options, Some(stream))
    }

    fn take(
        &mut self,
        event: &[u8],
        options: &InvokeOptions,
        stream: Option<&mut dyn ResponseStream>,
    ) -> Result<Invocation, EmulatorError> {
        // Skipping a value does not look into its strings, so the encoding is checked first.
        let text = std::str::from_utf8(event).map_err(|source| EmulatorError::EventNotUtf8 { source })?;
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|source| EmulatorError::EventNotJson { source })?;
        if event.len() as u64 > PAYLOAD_LIMIT {
            return Err(EmulatorError::EventTooLarge { size: event.len() as u64 });
        }
        let request_id = uuid()?;
        let begun = self.begun.take();
        let started = Instant::now();
        self.looked = started;
        let limit = Limit::from(started, self.function.timeout);
        let died_idle = self.runtime.as_ref().is_some_and(Runtime::has_ended);
        if died_idle {
            self.runtime = None;
        }
        let failed_init = match self.runtime {
            Some(_) => None,
            None => self.initialise(limit, Phase::Invoke)?.err(),
        };
        self.line(&format!("START RequestId: {request_id} Version: $LATEST"));
        let outcome = match (failed_init, self.runtime.take()) {
            (Some(outcome), _) => outcome,
            (None, Some(runtime)) => {
                let wish = if stream.is_some() { Wish::Pieces } else { Wish::Whole };
                let task = self.task(&request_id, event, options, wish, started)?;
                let (outcome, survivor) = self.run(runtime, task, limit, stream)?;
                self.runtime = survivor;
                outcome
            }
            // Only the init above decides this, and it leaves a runtime or a reason.
            (None, None) => Outcome::Exited(Exit::Status(0)),
        };
        let duration = started.elapsed();
        self.look_at_memory();
        self.flush_log();
        let (init, restore) = match begun {
            None => (None, None),
            Some(Begun::Init(init)) => (Some(init), None),
            Some(Begun::Restore(restore)) => (None, Some(restore)),
        };
        let billed = (duration + init.unwrap_or_default()).as_micros().div_ceil(1000);
        let invocation = Invocation {
            request_id,
            outcome,
            init,
            restore,
            duration,
            billed_ms: u64::try_from(billed).unwrap_or(u64::MAX),
            max_memory_mb: self.memory.map(|bytes| bytes.div_ceil(1024 * 1024)),
        };
        self.report(&invocation);
        Ok(invocation)
    }

    /// Starts the runtime and waits for its first question. Leaves a runtime, or says why there is none.
    fn initialise(&mut self, mut limit: Limit, phase: Phase) -> Result<Result<Begun, Outcome>, EmulatorError> {
        let started = Instant::now();
        let runtime = self.spawn()?;
        let mut restored = None;
        let outcome = loop {
            match self.wait(&runtime, limit)? {
                Waited::Ready => {
                    self.runtime = Some(runtime);
                    let Some(restored) = restored else { return Ok(Ok(Begun::Init(started.elapsed()))) };
                    let took: Duration = Instant::elapsed(&restored);
                    self.flush_log();
                    self.line(&format!("RESTORE_REPORT Restore Duration: {} ms", milliseconds(took)));
                    return Ok(Ok(Begun::Restore(took)));
                }
                // Kept and brought back at once: nothing of a process could be copied here.
                Waited::Snapshot => {
                    let took = milliseconds(started.elapsed());
                    runtime.sandbox.flush_log();
                    self.line(&format!("INIT_REPORT Init Duration: {took} ms\tPhase: init\tStatus: success"));
                    self.line("RESTORE_START Runtime Version: provided:al2023.phplayer\tRuntime Version ARN: none");
                    restored = Some(Instant::now());
                    limit = Limit::from(Instant::now(), RESTORE_LIMIT);
                    runtime.api.restore();
                }
                Waited::Ended(Outcome::Exited(exit)) => match runtime.sandbox.complaint() {
                    // bubblewrap speaks of `execvp` when all is made and only the bootstrap is wrong.
                    Some(said) => match said.strip_prefix("execvp ") {
                        Some(reason) => break Outcome::InvalidEntrypoint { reason: reason.to_owned() },
                        None => return Err(EmulatorError::SandboxRefused { reason: said }),
                    },
                    None => break Outcome::Exited(exit),
                },
                Waited::Answered(outcome) | Waited::Ended(outcome) => break outcome,
                // Only a response is streamed, and there is no event yet.
                Waited::Began { .. } | Waited::Piece(_) => {}
            }
        };
        drop(runtime);
        let phase = match (restored, phase) {
            (Some(_), _) => "restore",
            (None, Phase::Init) => "init",
            (None, Phase::Invoke) => "invoke",
        };
        let status = match &outcome {
            Outcome::TimedOut { .. } => "timeout".to_owned(),
            other => format!("error\tError Type: {}", other.error_type().unwrap_or_default()),
        };
        let took = milliseconds(started.elapsed());
        self.line(&format!("INIT_REPORT Init Duration: {took} ms\tPhase: {phase}\tStatus: {status}"));
        Ok(Err(outcome))
    }

    fn task(
        &self,
        request_id: &str,
        event: &[u8],
        options: &InvokeOptions,
        wish: Wish,
        started: Instant,
    ) -> Result<Task, EmulatorError> {
        let deadline = Clock::now().plus(self.function.timeout.saturating_sub(started.elapsed()));
        let root = match &options.trace {
            Some(trace) => trace.clone(),
            None => trace_root()?,
        };
        let trace = format!("{root};Parent={};Sampled=0", &uuid()?.replace('-', "")[..16]);
        let mut headers = vec![
            ("Content-Type".to_owned(), "application/json".to_owned()),
            ("Lambda-Runtime-Aws-Request-Id".into(), request_id.to_owned()),
            ("Lambda-Runtime-Deadline-Ms".into(), deadline.epoch_ms().to_string()),
            ("Lambda-Runtime-Invoked-Function-Arn".into(), self.function.arn()),
            ("Lambda-Runtime-Trace-Id".into(), trace),
            ("Lambda-Runtime-Invocation-Id".into(), uuid()?),
        ];
        headers.extend(options.client_context.clone().map(|context| ("Lambda-Runtime-Client-Context".into(), context)));
        Ok(Task { request_id: request_id.to_owned(), headers: Headers(headers), event: event.to_owned(), wish })
    }

    fn look_at_memory(&mut self) {
        let used = self.runtime.as_ref().and_then(|runtime| runtime.sandbox.memory());
        self.memory = self.memory.max(used);
    }

    /// Waits until what the runtime has written is in the log.
    fn flush_log(&self) {
        if let Some(runtime) = &self.runtime {
            runtime.sandbox.flush_log();
        }
    }

    /// What it runs.
    pub fn function(&self) -> &Function {
        &self.function
    }
}

/// Where the sandbox finds it, in Lambda's order. A link counts: only the sandbox can follow it.
fn bootstrap(places: &Places) -> Option<&'static str> {
    let there = |folder: &Path| fs::symlink_metadata(folder.join("bootstrap")).is_ok();
    if there(&places.task) {
        Some("/var/task/bootstrap")
    } else if there(&places.opt()) {
        Some("/opt/bootstrap")
    } else {
        None
    }
}

/// A fresh random UUID; the kernel makes them.
pub(super) fn uuid() -> Result<String, EmulatorError> {
    let made = fs::read_to_string("/proc/sys/kernel/random/uuid");
    Ok(made.map_err(EmulatorError::io("draw a random id"))?.trim().to_owned())
}

/// The beginning of a trace, as X-Ray writes it.
pub(super) fn trace_root() -> Result<String, EmulatorError> {
    let random = uuid()?.replace('-', "");
    Ok(format!("Root=1-{:08x}-{}", Clock::now().0.as_secs(), &random[..24]))
}
