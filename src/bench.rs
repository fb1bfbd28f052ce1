//! What a runtime costs: its cold start and its cycle, measured in turn with the two limits it cannot be better than.
//!
//! ```text
//! subject   event ──RuntimeApi──▶ bootstrap ──▶ php-fpm        what users get
//! direct    request ──FastCGI───────────────▶ php-fpm        the same PHP without a runtime
//! floor     event ──RuntimeApi──▶ a bootstrap that does nothing
//! ```
//! Each repetition measures all three, one after the other, so that a busy machine slows them alike. All run in the same
//! kind of sandbox; times are taken at the socket, and a start counts from the exec within the sandbox.

mod case;
mod direct;
mod fastcgi;
mod machine;
mod measure;
mod moment;
mod page;
mod processes;
mod report;
pub mod role;
mod runtime;
mod runtime_api;
mod soak;
mod stage;
mod statistics;
mod text;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use case::Case;
pub use report::Report;

use crate::emulator::{EmulatorError, Exit, Function, PAYLOAD_LIMIT, environment};
use crate::progress::Reporter;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Setting {
    pub function: Function,
    /// phplayer itself, which takes a part in the sandboxes.
    pub executable: PathBuf,
    pub work: Work,
}

#[derive(Clone, Debug)]
pub enum Work {
    /// Cold starts and warm cycles of one case, in turn with its limits. Either count may be 0.
    Compare { case: Case, cold: usize, warm: usize },
    /// So many events through one instance, the cases in turn.
    Soak { cases: Vec<Case>, count: u64 },
}

impl Work {
    fn cases(&self) -> &[Case] {
        match self {
            Work::Compare { case, .. } => std::slice::from_ref(case),
            Work::Soak { cases, .. } => cases,
        }
    }
}

/// Measures. What the function does wrong in its first answers is an error: there would be nothing to compare.
pub fn run(setting: &Setting, reporter: &dyn Reporter) -> Result<Report, BenchError> {
    environment::check(&setting.function.env)?;
    for case in setting.work.cases() {
        let size = case.event.len() as u64;
        if size > PAYLOAD_LIMIT {
            return Err(EmulatorError::EventTooLarge { size }.into());
        }
    }
    let load = machine::load();
    let mut report = match &setting.work {
        Work::Compare { case, cold, warm } => measure::compare(setting, case, *cold, *warm, reporter)?,
        Work::Soak { cases, count } => soak::run(setting, cases, *count, reporter)?,
    };
    report.machine.load_before = load;
    Ok(report)
}

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum BenchError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Emulator(#[from] EmulatorError),

    #[error("the runtime could not start: {error}{}", quoted(log))]
    #[diagnostic(help("`phplayer invoke` with the same options shows the whole log"))]
    InitFailed { error: String, log: Vec<String> },

    #[error("the runtime ended with {exit}{}", quoted(log))]
    #[diagnostic(help("`phplayer invoke` with the same options shows the whole log"))]
    Ended { exit: Exit, log: Vec<String> },

    #[error("nothing came from the sandbox for {} s{}", limit.as_secs(), quoted(log))]
    #[diagnostic(help("`--timeout` gives the function longer"))]
    Silent { limit: Duration, log: Vec<String> },

    #[error("the function answers with an error: {error}{}", quoted(log))]
    #[diagnostic(help("only what works can be compared; `phplayer invoke` with the same options shows more"))]
    FunctionFailed { error: String, log: Vec<String> },

    #[error("the runtime said what nobody expected: {what}{}", quoted(log))]
    #[diagnostic(help("a runtime asks for an event, answers that one, and asks for the next"))]
    Unexpected { what: String, log: Vec<String> },

    #[error("php-fpm, called directly, did not answer{}", quoted(log))]
    #[diagnostic(help("`phplayer invoke` with the same options shows whether it answers its runtime"))]
    PhpFpm { log: Vec<String> },

    #[error("after {count} of {wanted} events: {cause}")]
    #[diagnostic(help("these many were answered before; the same run with `--soak {count}` ends well"))]
    SoakEnded {
        count: u64,
        wanted: u64,
        #[source]
        cause: Box<BenchError>,
    },

    #[error("the bench cannot {doing}")]
    Io { doing: &'static str, source: io::Error },
}

impl BenchError {
    /// Names what was being done when the system refused.
    fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

impl From<io::Error> for BenchError {
    fn from(source: io::Error) -> Self {
        Self::Io { doing: "serve the Runtime API", source }
    }
}

/// The log's last lines, under the message.
fn quoted(log: &[String]) -> String {
    match log {
        [] => String::new(),
        lines => format!("; its log ends:\n  {}", lines.join("\n  ")),
    }
}
