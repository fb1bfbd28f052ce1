//! The log: each line with the id of the invocation that it belongs to, as text or as JSON.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::answer::{FunctionError, to_json};

/// CloudWatch's limit for one event, in bytes; a longer line is cut there.
const LINE_LIMIT: u64 = 256 * 1024;

/// How lines are written: `AWS_LAMBDA_LOG_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Text,
    /// One object a line; what weighs less than `least` is left out.
    Json {
        least: Level,
    },
}

/// Lambda's names and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    const ALL: [Level; 6] = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Fatal];

    /// By its place in `AWS_LAMBDA_LOG_LEVEL`'s choices; absent means INFO, as on Lambda.
    pub fn of_lambda(place: Option<usize>) -> Self {
        place.and_then(|at| Self::ALL.get(at).copied()).unwrap_or(Level::Info)
    }

    /// What PHP's and php-fpm's own messages begin with tells how grave they are.
    fn of_message(message: &str) -> Self {
        let starts = |heads: &[&str]| heads.iter().any(|head| message.starts_with(head));
        if starts(&[
            "PHP Fatal error",
            "PHP Parse error",
            "PHP Recoverable fatal error",
            "PHP Core error",
            "ERROR: ",
            "ALERT: ",
        ]) {
            Level::Error
        } else if starts(&["PHP Warning", "PHP Core warning", "PHP Compile warning", "WARNING: "]) {
            Level::Warn
        } else {
            Level::Info
        }
    }
}

/// A log of one loop of events. Clones write to the same one.
#[derive(Clone, Debug)]
pub struct Log {
    style: Style,
    /// Stays after its invocation, until the next begins: PHP's last lines may come late.
    request: Arc<Mutex<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    timestamp: String,
    level: Level,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    message: &'a str,
    #[serde(flatten)]
    error: Option<&'a FunctionError>,
}

impl Log {
    pub fn new(style: Style) -> Self {
        Log { style, request: Arc::default() }
    }

    /// What is logged from now on belongs to this invocation.
    pub fn begin(&self, request_id: &str) {
        let mut request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        request.clear();
        request.push_str(request_id);
    }

    /// A word of ours.
    pub fn say(&self, level: Level, message: &str) {
        self.write(level, message, None);
    }

    /// What PHP or the application wrote, one message of one or more lines.
    pub fn pass(&self, message: &str) {
        let message = message.trim_end();
        let message = without_time(message).unwrap_or(message);
        // Somebody's own record is one already, and a line in front of it would spoil it for every reader of JSON.
        if message.starts_with('{') && message.ends_with('}') && !message.contains('\n') {
            put(format!("{message}\n"));
        } else {
            self.write(Level::of_message(message), message, None);
        }
    }

    /// The invocation's error, as it is reported to Lambda.
    pub fn fail(&self, error: &FunctionError) {
        match self.style {
            Style::Text => self.write(Level::Error, &format!("Invoke Error\t{}", error.to_json()), None),
            Style::Json { .. } => self.write(Level::Error, &error.error_message, Some(error)),
        }
    }

    /// Passes on every line that comes out of `input`, to its end; `also` gets the same bytes as they come.
    pub fn follow(&self, input: impl Read, mut also: impl FnMut(&[u8])) {
        let mut input = BufReader::new(input);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut input).take(LINE_LIMIT).read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            also(&line);
            self.pass(&String::from_utf8_lossy(&line));
        }
    }

    /// Passes on what PHP logs as errors, each message whole however many lines it has: each begins with its time.
    ///
    /// `input` is a pipe, and PHP writes a message at once: what ends with a line's end is complete.
    pub fn follow_errors(&self, mut input: impl Read) {
        let mut pending = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => pending.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            }
            if pending.ends_with(b"\n") || pending.len() as u64 > LINE_LIMIT {
                self.pass_errors(&pending);
                pending.clear();
            }
        }
        self.pass_errors(&pending);
    }

    fn pass_errors(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let mut message = String::new();
        for line in text.lines() {
            match without_time(line) {
                Some(first) => {
                    self.pass_some(&message);
                    message = first.to_owned();
                }
                None => {
                    message.push('\n');
                    message.push_str(line);
                }
            }
        }
        self.pass_some(&message);
    }

    fn pass_some(&self, message: &str) {
        if !message.trim().is_empty() {
            self.pass(message);
        }
    }

    fn write(&self, level: Level, message: &str, error: Option<&FunctionError>) {
        let request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        match self.style {
            Style::Text if request.is_empty() => put(format!("{message}\n")),
            Style::Text => put(message.split('\n').map(|line| format!("{request}\t{line}\n")).collect()),
            Style::Json { least } if level < least => {}
            Style::Json { .. } => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let record = Record { timestamp: iso8601(now), level, request_id: &request, message, error };
                put(format!("{}\n", to_json(&record)));
            }
        }
    }
}

/// `[25-Nov-2026 18:30:00 UTC] message` without its time, which the log has itself; none for a line that begins otherwise.
fn without_time(line: &str) -> Option<&str> {
    let (time, message) = line.strip_prefix('[')?.split_once("] ")?;
    let shape: String = time
        .chars()
        .take(20)
        .map(|character| match character {
            '0'..='9' => '0',
            'a'..='z' | 'A'..='Z' => 'a',
            other => other,
        })
        .collect();
    (shape == "00-aaa-0000 00:00:00").then_some(message)
}

/// In one write, so that lines of several threads and processes do not mix.
fn put(text: String) {
    // Nobody is left to tell when stderr is gone.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// `2026-11-25T18:30:00.042Z` of a time since 1970.
fn iso8601(since_epoch: Duration) -> String {
    let (days, seconds) = (since_epoch.as_secs() / 86_400, since_epoch.as_secs() % 86_400);
    // Years that begin in March have their leap day at the end; 146,097 days are 400 years.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let of_400 = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_400 + of_400 / 4 - of_400 / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + of_400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since_epoch.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_are_written_as_iso8601() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_042, "2000-02-29T00:00:00.042Z"),
            (1_795_453_817_000, "2026-11-23T17:10:17.000Z"),
        ] {
            assert_eq!(iso8601(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn php_tells_how_grave_its_messages_are() {
        for (message, level) in [
            ("PHP Fatal error:  Uncaught Exception", Level::Error),
            ("PHP Warning:  Undefined variable", Level::Warn),
            ("PHP Deprecated:  old", Level::Info),
            ("WARNING: [pool www] child 6 exited on signal 9", Level::Warn),
            ("ERROR: fork() failed", Level::Error),
            ("my own words", Level::Info),
        ] {
            assert_eq!(Level::of_message(message), level, "{message}");
        }
        assert_eq!((Level::of_lambda(None), Level::of_lambda(Some(4))), (Level::Info, Level::Error));
    }

    #[test]
    fn phps_messages_begin_with_their_time() {
        for (line, message) in [
            ("[25-Nov-2026 18:30:00 UTC] PHP Warning:  a", Some("PHP Warning:  a")),
            ("[25-Nov-2026 18:30:00 Europe/Berlin] a [b] c", Some("a [b] c")),
            ("[25-Nov-2026 18:30:00 UTC]", None),
            ("#0 {main}", None),
            ("[my] own", None),
        ] {
            assert_eq!(without_time(line), message, "{line}");
        }
    }

    #[test]
    fn what_is_followed_comes_whole_however_long() {
        let text = format!("a\n{}\nrest", "x".repeat(2 * LINE_LIMIT as usize + 7));
        let mut copy = Vec::new();
        Log::new(Style::Json { least: Level::Fatal }).follow(text.as_bytes(), |bytes| copy.extend_from_slice(bytes));
        assert_eq!(copy, text.as_bytes());
    }
}
