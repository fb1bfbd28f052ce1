//! One execution environment: its runtime is started, given one event at a time, killed when it must be, started again.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use fs_err as fs;

use super::clock::Clock;
use super::http::Headers;
use super::runtime_api::{Event, RuntimeApi, Task};
use super::sandbox::{Places, Sandbox};
use super::{EmulatorError, Exit, Function, Invocation, LogSink, Outcome, PAYLOAD_LIMIT, Stop, environment, unpack};

/// What a runtime has before its first question; a longer init is cut and repeated within the first invocation.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// How often memory and the wish to stop are looked at while a function runs. A function that takes more than its memory
/// for less than this is not noticed.
const LOOK: Duration = Duration::from_millis(50);

/// What the caller of an invocation may add to its event.
#[derive(Clone, Debug, Default)]
pub struct InvokeOptions {
    /// JSON, as the runtime gets it.
    pub client_context: Option<String>,
}

pub struct Instance {
    function: Function,
    places: Places,
    bootstrap: &'static str,
    log_stream: String,
    sink: LogSink,
    stop: Stop,
    /// None before a start and after a death: the next event starts it.
    runtime: Option<Runtime>,
    /// How long the init phase took, until an invocation has reported it.
    init: Option<Duration>,
    /// The most bytes seen in use.
    memory: Option<u64>,
}

/// A living runtime and what it does. Fields drop in order: first the processes, then what they talk to.
struct Runtime {
    sandbox: Sandbox,
    api: RuntimeApi,
    events: Receiver<Event>,
}

/// When the runtime was started.
#[derive(Clone, Copy)]
enum Phase {
    Init,
    /// Again, within an invocation.
    Invoke,
}

/// How long the runtime has, and how long it had been given.
#[derive(Clone, Copy)]
struct Limit {
    deadline: Instant,
    length: Duration,
}

/// What the runtime did, or why it does nothing any more.
enum Waited {
    Ready,
    Answered(Outcome),
    Ended(Outcome),
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
        let log_stream = format!("{}/[$LATEST]{}", Clock::now().day(), uuid()?.replace('-', ""));
        let function = function.clone();
        let mut instance =
            Self { function, places, bootstrap, log_stream, sink, stop, runtime: None, init: None, memory: None };
        instance.line("INIT_START Runtime Version: provided:al2023.phplayer\tRuntime Version ARN: none");
        let started = Instant::now();
        if instance.initialise(Limit::from(started, INIT_LIMIT), Phase::Init)?.is_none() {
            instance.init = Some(started.elapsed());
            instance.look_at_memory();
        }
        Ok(instance)
    }

    /// Gives the function an event and waits for what comes of it. Whatever the function does is in the outcome.
    ///
    /// Source of what is refused: Lambda's Invoke API.
    pub fn invoke(&mut self, event: &[u8], options: &InvokeOptions) -> Result<Invocation, EmulatorError> {
        // Skipping a value does not look into its strings, so the encoding is checked first.
        let text = std::str::from_utf8(event).map_err(|source| EmulatorError::EventNotUtf8 { source })?;
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|source| EmulatorError::EventNotJson { source })?;
        if event.len() as u64 > PAYLOAD_LIMIT {
            return Err(EmulatorError::EventTooLarge { size: event.len() as u64 });
        }
        let request_id = uuid()?;
        let init = self.init.take();
        let started = Instant::now();
        let limit = Limit::from(started, self.function.timeout);
        let died_idle = self.runtime.as_ref().is_some_and(Runtime::has_ended);
        if died_idle {
            self.runtime = None;
        }
        let failed_init = match self.runtime {
            Some(_) => None,
            None => self.initialise(limit, Phase::Invoke)?,
        };
        self.line(&format!("START RequestId: {request_id} Version: $LATEST"));
        let outcome = match (failed_init, self.runtime.take()) {
            (Some(outcome), _) => outcome,
            (None, Some(runtime)) => {
                let task = self.task(&request_id, event, options, started)?;
                let (outcome, survivor) = self.run(runtime, task, limit)?;
                self.runtime = survivor;
                outcome
            }
            // Only the init above decides this, and it leaves a runtime or a reason.
            (None, None) => Outcome::Exited(Exit::Status(0)),
        };
        let duration = started.elapsed();
        self.look_at_memory();
        if let Some(runtime) = &self.runtime {
            runtime.sandbox.flush_log();
        }
        let billed = (duration + init.unwrap_or_default()).as_micros().div_ceil(1000);
        let invocation = Invocation {
            request_id,
            outcome,
            init,
            duration,
            billed_ms: u64::try_from(billed).unwrap_or(u64::MAX),
            max_memory_mb: self.memory.map(|bytes| bytes.div_ceil(1024 * 1024)),
        };
        self.report(&invocation);
        Ok(invocation)
    }

    /// Starts the runtime and waits for its first question. Leaves a runtime, or returns why there is none.
    fn initialise(&mut self, limit: Limit, phase: Phase) -> Result<Option<Outcome>, EmulatorError> {
        let started = Instant::now();
        let runtime = self.spawn()?;
        let outcome = match self.wait(&runtime, limit)? {
            Waited::Ready => {
                self.runtime = Some(runtime);
                return Ok(None);
            }
            Waited::Ended(Outcome::Exited(exit)) => match runtime.sandbox.complaint() {
                // bubblewrap speaks of `execvp` when all is made and only the bootstrap is wrong.
                Some(said) => match said.strip_prefix("execvp ") {
                    Some(reason) => Outcome::InvalidEntrypoint { reason: reason.to_owned() },
                    None => return Err(EmulatorError::SandboxRefused { reason: said }),
                },
                None => Outcome::Exited(exit),
            },
            Waited::Answered(outcome) | Waited::Ended(outcome) => outcome,
        };
        drop(runtime);
        let phase = match phase {
            Phase::Init => "init",
            Phase::Invoke => "invoke",
        };
        let status = match &outcome {
            Outcome::TimedOut { .. } => "timeout".to_owned(),
            other => format!("error\tError Type: {}", other.error_type().unwrap_or_default()),
        };
        let took = milliseconds(started.elapsed());
        self.line(&format!("INIT_REPORT Init Duration: {took} ms\tPhase: {phase}\tStatus: {status}"));
        Ok(Some(outcome))
    }

    fn spawn(&self) -> Result<Runtime, EmulatorError> {
        let (sender, events): (Sender<Event>, _) = channel();
        let token = uuid()?;
        let api = RuntimeApi::start(&token, sender.clone()).map_err(EmulatorError::io("listen on loopback"))?;
        let environment = environment::of(&self.function, api.address, &token, &self.log_stream);
        let ended = move |exit| drop(sender.send(Event::Ended(exit)));
        let sandbox = Sandbox::start(&self.places, self.bootstrap, &environment, Arc::clone(&self.sink), ended)?;
        Ok(Runtime { sandbox, api, events })
    }

    /// One event in a waiting runtime: what came of it, and the runtime if it can take another.
    fn run(&mut self, runtime: Runtime, task: Task, limit: Limit) -> Result<(Outcome, Option<Runtime>), EmulatorError> {
        let request_id = task.request_id.clone();
        runtime.api.deliver(task);
        let answer = loop {
            match self.wait(&runtime, limit)? {
                Waited::Answered(outcome) => break outcome,
                Waited::Ended(outcome) => return Ok((outcome, None)),
                Waited::Ready => {}
            }
        };
        // The event is done when the runtime asks for the next one; until then its time counts. A death in between is
        // in the log only: the caller has the answer.
        loop {
            match self.wait(&runtime, limit)? {
                Waited::Ready => return Ok((answer, Some(runtime))),
                Waited::Ended(outcome) => {
                    drop(runtime);
                    outcome.log_lines(&request_id).iter().for_each(|line| self.line(line));
                    return Ok((answer, None));
                }
                Waited::Answered(_) => {}
            }
        }
    }

    fn wait(&mut self, runtime: &Runtime, limit: Limit) -> Result<Waited, EmulatorError> {
        loop {
            if self.stop.wished() {
                return Err(EmulatorError::Interrupted);
            }
            let left = limit.deadline.saturating_duration_since(Instant::now());
            let ended = match runtime.events.recv_timeout(left.min(LOOK)) {
                Ok(Event::Ready) => return Ok(Waited::Ready),
                Ok(Event::Answered(outcome)) => return Ok(Waited::Answered(outcome)),
                Ok(Event::InitFailed { error_type, body }) => Outcome::Reported { error_type, body },
                Ok(Event::Ended(exit)) => Outcome::Exited(exit),
                // Everything that could tell of its end is gone, so it is.
                Err(RecvTimeoutError::Disconnected) => Outcome::Exited(Exit::Signal(9)),
                Err(RecvTimeoutError::Timeout) if left <= LOOK => Outcome::TimedOut { limit: limit.length },
                Err(RecvTimeoutError::Timeout) => {
                    let used = runtime.sandbox.memory();
                    self.memory = self.memory.max(used);
                    if used <= Some(u64::from(self.function.memory_mb) * 1024 * 1024) {
                        continue;
                    }
                    Outcome::OutOfMemory
                }
            };
            return Ok(Waited::Ended(ended));
        }
    }

    fn task(
        &self,
        request_id: &str,
        event: &[u8],
        options: &InvokeOptions,
        started: Instant,
    ) -> Result<Task, EmulatorError> {
        let now = Clock::now();
        let deadline = now.plus(self.function.timeout.saturating_sub(started.elapsed()));
        let random = uuid()?.replace('-', "");
        let trace = format!(
            "Root=1-{:08x}-{};Parent={};Sampled=0",
            now.0.as_secs(),
            &random[..24],
            &uuid()?.replace('-', "")[..16]
        );
        let mut headers = vec![
            ("Content-Type".to_owned(), "application/json".to_owned()),
            ("Lambda-Runtime-Aws-Request-Id".into(), request_id.to_owned()),
            ("Lambda-Runtime-Deadline-Ms".into(), deadline.epoch_ms().to_string()),
            ("Lambda-Runtime-Invoked-Function-Arn".into(), self.function.arn()),
            ("Lambda-Runtime-Trace-Id".into(), trace),
            ("Lambda-Runtime-Invocation-Id".into(), uuid()?),
        ];
        headers.extend(options.client_context.clone().map(|context| ("Lambda-Runtime-Client-Context".into(), context)));
        Ok(Task { request_id: request_id.to_owned(), headers: Headers(headers), event: event.to_owned() })
    }

    /// The lines that end an invocation in CloudWatch.
    fn report(&self, invocation: &Invocation) {
        let id = &invocation.request_id;
        for line in invocation.outcome.log_lines(id) {
            self.line(&line);
        }
        self.line(&format!("END RequestId: {id}"));
        let duration = milliseconds(invocation.duration);
        let mut report = format!(
            "REPORT RequestId: {id}\tDuration: {duration} ms\tBilled Duration: {} ms\tMemory Size: {} MB",
            invocation.billed_ms, self.function.memory_mb
        );
        if let Some(memory) = invocation.max_memory_mb {
            report.push_str(&format!("\tMax Memory Used: {memory} MB"));
        }
        if let Some(init) = invocation.init {
            report.push_str(&format!("\tInit Duration: {} ms", milliseconds(init)));
        }
        match &invocation.outcome {
            Outcome::Response(_) => {}
            Outcome::TimedOut { .. } => report.push_str("\tStatus: timeout"),
            other => {
                report.push_str(&format!("\tStatus: error\tError Type: {}", other.error_type().unwrap_or_default()));
            }
        }
        self.line(&report);
    }

    fn look_at_memory(&mut self) {
        let used = self.runtime.as_ref().and_then(|runtime| runtime.sandbox.memory());
        self.memory = self.memory.max(used);
    }

    fn line(&self, line: &str) {
        (self.sink)(line);
    }
}

impl Limit {
    fn from(start: Instant, length: Duration) -> Self {
        Self { deadline: start + length, length }
    }
}

impl Runtime {
    fn has_ended(&self) -> bool {
        matches!(self.events.try_recv(), Ok(Event::Ended(_)) | Err(TryRecvError::Disconnected))
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

fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

/// A fresh random UUID; the kernel makes them.
pub(super) fn uuid() -> Result<String, EmulatorError> {
    let made = fs::read_to_string("/proc/sys/kernel/random/uuid");
    Ok(made.map_err(EmulatorError::io("draw a random id"))?.trim().to_owned())
}
