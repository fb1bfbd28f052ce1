//! What Lambda's environment says, and how the user wants the runtime to be: every variable that it reads is here.

use std::env;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::answer::InitError;
use crate::log;

/// The layer's one PHP executable; as which SAPI it runs, it sees in the name it is started under.
pub const PHP: &str = "/opt/bin/php";

#[derive(Debug)]
pub struct Settings {
    /// The function's folder, `/var/task`.
    pub task_root: PathBuf,
    /// `_HANDLER`: for example `index.php`, `public/`, `index`, `src/app.main`.
    pub handler: String,
    /// `PHPLAYER_MODE`; `None` leaves it to what the handler is.
    pub mode: Option<Mode>,
    /// `PHPLAYER_ISOLATE`.
    pub isolation: Isolation,
    /// `PHPLAYER_STREAM`.
    pub responses: Responses,
    /// `PHPLAYER_CLIENT_ADDRESS`.
    pub client_address: ClientAddress,
    /// `PHPLAYER_STAGE`.
    pub stage: Stage,
    /// `PHPLAYER_WARMUP`: a path to request before the first event.
    pub warmup: Option<String>,
    /// `PHPLAYER_TIMEOUT_MARGIN_MS`; `None` is a tenth of the time that the event has.
    pub margin: Option<Duration>,
    /// `PHPLAYER_SHUTDOWN`.
    pub shutdown: Shutdown,
    /// `AWS_LAMBDA_INITIALIZATION_TYPE`.
    pub start: Start,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`: events that are worked on at the same time.
    pub concurrency: NonZeroUsize,
    pub memory: Memory,
    /// `AWS_LAMBDA_LOG_FORMAT` and `AWS_LAMBDA_LOG_LEVEL`.
    pub log: log::Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Http,
    Function,
    Console,
}

/// What an event of function mode leaves behind for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All: one process answers one event after the other.
    Worker,
    /// Nothing: each event has a process of its own, forked from one that has loaded the handler.
    Process,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responses {
    Buffered,
    /// As PHP prints them, where the front can pass that on.
    Streamed,
}

/// What PHP sees as `REMOTE_ADDR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// The client's, as the front says.
    Real,
    /// 127.0.0.1, for frameworks that trust that proxy and read `X-Forwarded-For` themselves.
    Loopback,
}

/// What becomes of the stage's name at the front of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Keep,
    Strip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Lambda kills us without a word: nothing is registered, and nothing is billed for it.
    Silent,
    /// Registered as an internal extension, so SIGTERM comes first.
    Announced,
}

/// What one PHP process may take, as php.ini reads it: a share of the function's memory, or what the user says. A script that
/// wants more gets an error of PHP's; one that takes more than the function has is killed without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    limit: Option<String>,
}

impl Memory {
    const NAME: &'static str = "PHPLAYER_MEMORY_LIMIT";

    /// `total`: the function's memory in MB. A tenth, and at least 40 MB, is for what no script's limit counts: PHP itself,
    /// its compiled scripts, php-fpm's master and this program.
    fn share(total: u64, processes: NonZeroUsize) -> Self {
        let left = total.saturating_sub((total / 10).max(40)) / processes.get() as u64;
        Memory { limit: Some(format!("{}M", left.max(16))) }
    }

    /// Tells a PHP that is to be started.
    pub fn tell(&self, command: &mut Command) {
        if let Some(limit) = &self.limit {
            command.env(Self::NAME, limit);
        }
    }
}

/// When the environment is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    OnDemand,
    /// Once, then copied: what must differ between copies is made after the restore.
    Snapshot,
}

/// `host:port` of the Runtime API; without it there is nobody to tell that something is wrong.
pub fn api() -> Option<String> {
    env::var("AWS_LAMBDA_RUNTIME_API").ok().filter(|api| !api.is_empty())
}

impl Settings {
    pub fn from_environment() -> Result<Self, InitError> {
        Self::from(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// `of` looks a variable up; an empty one counts as absent.
    pub fn from(of: impl Fn(&'static str) -> Option<String>) -> Result<Self, InitError> {
        let choose = |name, choices: &[&'static str]| -> Result<Option<usize>, InitError> {
            let Some(value) = of(name) else { return Ok(None) };
            let at = choices.iter().position(|choice| choice.eq_ignore_ascii_case(&value));
            at.map(Some).ok_or_else(|| InitError::BadSetting { name, value, expected: listed(choices) })
        };
        let number = |name| -> Result<Option<u64>, InitError> {
            let Some(value) = of(name) else { return Ok(None) };
            let number = value.parse().ok();
            number.map(Some).ok_or_else(|| InitError::BadSetting { name, value, expected: "a whole number".into() })
        };
        let warmup = of("PHPLAYER_WARMUP");
        if let Some(path) = warmup.as_ref().filter(|path| !path.starts_with('/')) {
            let (name, value) = ("PHPLAYER_WARMUP", path.clone());
            return Err(InitError::BadSetting { name, value, expected: "a path that begins with `/`".into() });
        }
        const MODES: [Mode; 3] = [Mode::Http, Mode::Function, Mode::Console];
        let is = |chosen: Option<usize>, at| chosen == Some(at);
        let level = choose("AWS_LAMBDA_LOG_LEVEL", &["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"])?;
        // Lambda's own: kinds that come later must not stop a runtime of today.
        let concurrency = number("AWS_LAMBDA_MAX_CONCURRENCY")?
            .and_then(|number| NonZeroUsize::new(usize::try_from(number).ok()?))
            .unwrap_or(NonZeroUsize::MIN);
        let total = of("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").and_then(|size| size.parse().ok());
        let memory = match (of(Memory::NAME), total) {
            (None, Some(total)) => Memory::share(total, concurrency),
            (limit, _) => Memory { limit },
        };
        Ok(Settings {
            task_root: of("LAMBDA_TASK_ROOT").map_or_else(|| "/var/task".into(), PathBuf::from),
            handler: of("_HANDLER").unwrap_or_default(),
            mode: choose("PHPLAYER_MODE", &["http", "function", "console"])?.map(|at| MODES[at]),
            isolation: match is(choose("PHPLAYER_ISOLATE", &["worker", "process"])?, 1) {
                true => Isolation::Process,
                false => Isolation::Worker,
            },
            responses: match is(choose("PHPLAYER_STREAM", &["0", "1"])?, 1) {
                true => Responses::Streamed,
                false => Responses::Buffered,
            },
            client_address: match is(choose("PHPLAYER_CLIENT_ADDRESS", &["real", "loopback"])?, 1) {
                true => ClientAddress::Loopback,
                false => ClientAddress::Real,
            },
            stage: match is(choose("PHPLAYER_STAGE", &["keep", "strip"])?, 1) {
                true => Stage::Strip,
                false => Stage::Keep,
            },
            warmup,
            margin: number("PHPLAYER_TIMEOUT_MARGIN_MS")?.map(Duration::from_millis),
            shutdown: match is(choose("PHPLAYER_SHUTDOWN", &["0", "1"])?, 1) {
                true => Shutdown::Announced,
                false => Shutdown::Silent,
            },
            start: match of("AWS_LAMBDA_INITIALIZATION_TYPE").as_deref() {
                Some("snap-start") => Start::Snapshot,
                _ => Start::OnDemand,
            },
            concurrency,
            memory,
            log: match of("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("JSON")) {
                true => log::Style::Json { least: log::Level::of_lambda(level) },
                false => log::Style::Text,
            },
        })
    }
}

/// "`a`, `b` or `c`"
fn listed(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> Result<Settings, InitError> {
        Settings::from(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn every_choice_is_taken_and_every_other_word_refused_with_the_choices() {
        for (name, values, expected) in [
            ("PHPLAYER_MODE", &["http", "function", "Console"][..], "`http`, `function` or `console`"),
            ("PHPLAYER_ISOLATE", &["worker", "process"], "`worker` or `process`"),
            ("PHPLAYER_STREAM", &["0", "1"], "`0` or `1`"),
            ("PHPLAYER_CLIENT_ADDRESS", &["real", "loopback"], "`real` or `loopback`"),
            ("PHPLAYER_STAGE", &["keep", "strip"], "`keep` or `strip`"),
            ("PHPLAYER_SHUTDOWN", &["0", "1"], "`0` or `1`"),
            ("PHPLAYER_TIMEOUT_MARGIN_MS", &["0", "250"], "a whole number"),
            ("PHPLAYER_WARMUP", &["/", "/a?b"], "a path that begins with `/`"),
        ] {
            values.iter().for_each(|value| drop(with(name, value).unwrap()));
            let error = with(name, "nonsense").unwrap_err().to_string();
            assert_eq!(error, format!("{name} is `nonsense`; it can be {expected}"));
        }
    }

    #[test]
    fn nothing_set_is_the_plain_runtime() {
        let settings = Settings::from(|_| None).unwrap();
        assert_eq!((settings.mode, settings.isolation), (None, Isolation::Worker));
        assert_eq!((settings.responses, settings.shutdown), (Responses::Buffered, Shutdown::Silent));
        assert_eq!((settings.start, settings.concurrency.get()), (Start::OnDemand, 1));
        assert_eq!(settings.task_root, PathBuf::from("/var/task"));
    }

    #[test]
    fn php_gets_its_share_of_the_functions_memory() {
        for (total, processes, limit) in
            [(128, 1, "88M"), (1_024, 1, "922M"), (10_240, 1, "9216M"), (2_048, 4, "461M"), (128, 16, "16M")]
        {
            let processes = NonZeroUsize::new(processes).unwrap();
            assert_eq!(Memory::share(total, processes).limit.as_deref(), Some(limit), "{total} {processes}");
        }
        assert_eq!(with("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128").unwrap().memory.limit.as_deref(), Some("88M"));
        assert_eq!(with("PHPLAYER_MEMORY_LIMIT", "1G").unwrap().memory.limit.as_deref(), Some("1G"));
        assert_eq!(Settings::from(|_| None).unwrap().memory.limit, None);
    }

    #[test]
    fn lambdas_own_words_are_read() {
        assert_eq!(with("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start").unwrap().start, Start::Snapshot);
        assert_eq!(with("AWS_LAMBDA_INITIALIZATION_TYPE", "brand-new").unwrap().start, Start::OnDemand);
        for (given, expected) in [("4", 4), ("0", 1), ("1", 1)] {
            assert_eq!(with("AWS_LAMBDA_MAX_CONCURRENCY", given).unwrap().concurrency.get(), expected);
        }
        assert!(matches!(with("AWS_LAMBDA_LOG_FORMAT", "JSON").unwrap().log, log::Style::Json { .. }));
        assert!(matches!(with("AWS_LAMBDA_LOG_FORMAT", "Text").unwrap().log, log::Style::Text));
    }
}
