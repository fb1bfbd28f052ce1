//! Console mode: an event is a command line, `php HANDLER ARGUMENTS` runs it.

mod words;

use std::collections::VecDeque;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use serde_json::Value;

use crate::answer::{Answer, FunctionError, InitError, RESPONSE_LIMIT, Reason, to_json};
use crate::invocation::Invocation;
use crate::log::Log;
use crate::processes;
use crate::runtime_api::{ApiError, Reply};
use crate::settings::{Memory, PHP, Settings};
use crate::worker::describe;
use words::words;

/// How much of the output is returned, from its end: 5 MB fit into a response unless much of it needs escaping.
const OUTPUT_LIMIT: usize = 5 * 1024 * 1024;
/// How often a wait looks whether the command has ended while something that it started still holds its output.
const LOOK: Duration = Duration::from_millis(50);
/// How long the rest of an ended command's output may take.
const DRAIN: Duration = Duration::from_millis(250);

pub struct Console {
    script: PathBuf,
    task_root: PathBuf,
    memory: Memory,
    log: Log,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended<'a> {
    exit_code: i32,
    output: &'a str,
}

impl Console {
    pub fn new(script: PathBuf, settings: &Settings, log: &Log) -> Self {
        Console { script, task_root: settings.task_root.clone(), memory: settings.memory.clone(), log: log.clone() }
    }

    /// Runs the command with its output going to the log and into `tail`; `None` when it took too long.
    fn run(
        &self,
        arguments: &[String],
        invocation: &Invocation,
        tail: &Arc<Mutex<VecDeque<u8>>>,
    ) -> io::Result<Option<ExitStatus>> {
        let (output, input) = io::pipe()?;
        let mut command = Command::new(PHP);
        self.memory.tell(&mut command);
        command
            .arg(&self.script)
            .args(arguments)
            .current_dir(&self.task_root)
            .env("LAMBDA_INVOCATION_CONTEXT", invocation.context.to_json())
            .env("_X_AMZN_TRACE_ID", &invocation.context.trace_id)
            .stdin(Stdio::null())
            .stdout(input.try_clone()?)
            .stderr(input)
            .process_group(0);
        let mut process = command.spawn()?;
        // It holds our copies of the pipe's end, without which the output would never be at its end.
        drop(command);
        let (end, ended) = mpsc::channel::<()>();
        let (log, tail) = (self.log.clone(), Arc::clone(tail));
        thread::spawn(move || {
            log.follow(output, |bytes| {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                tail.extend(bytes);
                let surplus = tail.len().saturating_sub(OUTPUT_LIMIT);
                tail.drain(..surplus);
            });
            drop(end);
        });
        let mut asked = false;
        loop {
            let closed = ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Disconnected);
            if let Some(status) = process.try_wait()? {
                // What is still in the pipe belongs to the command; what a leftover of it writes later does not.
                if !closed {
                    let _ = ended.recv_timeout(DRAIN);
                }
                return Ok(Some(status).filter(|_| !asked));
            }
            let now = Instant::now();
            if now >= invocation.patience.stop && !asked {
                processes::stop_all(Pid::from_child(&process));
                asked = true;
            }
            if now >= invocation.patience.kill {
                let _ = kill_process_group(Pid::from_child(&process), Signal::KILL);
                process.wait()?;
                return Ok(None);
            }
            if closed {
                // The output is at its end, the process not quite.
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Answer for Console {
    fn answer(&mut self, invocation: &Invocation, reply: Reply<'_>) -> Result<(), ApiError> {
        reply.whole(self.call(invocation))
    }

    /// Every event has a process of its own.
    fn after_restore(&mut self) -> Result<(), InitError> {
        Ok(())
    }
}

impl Console {
    fn call(&self, invocation: &Invocation) -> Result<Vec<u8>, FunctionError> {
        let arguments = arguments(&invocation.event)?;
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let status = self
            .run(&arguments, invocation, &tail)
            .map_err(|error| FunctionError::new(Reason::CommandFailed, format!("cannot run {PHP}: {error}")))?;
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        let output = String::from_utf8_lossy(tail.make_contiguous());
        match status {
            Some(status) if status.success() => Ok(success(&output)),
            Some(status) => Err(FunctionError {
                stack_trace: last_lines(&output),
                ..FunctionError::new(Reason::CommandFailed, format!("the command ended with {}", describe(status)))
            }),
            None => Err(FunctionError {
                stack_trace: last_lines(&output),
                ..FunctionError::new(Reason::Timeout, "the command did not end before the function's timeout")
            }),
        }
    }
}

/// The end of the output, as much as a response takes: what needs escaping is longer there, and a command that has done its
/// work must not seem to have failed.
fn success(mut output: &str) -> Vec<u8> {
    loop {
        let json = to_json(&Ended { exit_code: 0, output }).into_bytes();
        if json.len() <= RESPONSE_LIMIT {
            return json;
        }
        // As much shorter as it is too long, and a little, or the last rounds would be many.
        let kept = output.len() as u64 * RESPONSE_LIMIT as u64 / json.len() as u64 * 15 / 16;
        output = end_of(output, kept as usize);
    }
}

/// At most so many bytes from the end, beginning with a whole character.
fn end_of(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// What a command said last is most often why it failed.
fn last_lines(output: &str) -> Vec<String> {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(20)..].iter().map(|line| (*line).to_owned()).collect()
}

/// From `{"cli": "migrate --force"}` or a JSON string.
fn arguments(event: &[u8]) -> Result<Vec<String>, FunctionError> {
    let invalid = |problem: String| FunctionError::new(Reason::InvalidEvent, problem);
    let event: Value =
        serde_json::from_slice(event).map_err(|error| invalid(format!("the event is not JSON: {error}")))?;
    let line = match (&event, &event["cli"]) {
        (Value::String(line), _) | (_, Value::String(line)) => line,
        _ => return Err(invalid("the event must be a JSON string or {\"cli\": \"ARGUMENTS\"}".to_owned())),
    };
    words(line).ok_or_else(|| invalid(format!("a quote is not closed in `{line}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_as_json_loses_its_beginning() {
        assert_eq!(success("fine"), br#"{"exitCode":0,"output":"fine"}"#);
        for line in ["\x1b[31mred\x1b[0m\n", "ab\n", "\u{fffd}", "\u{1}"] {
            let output = line.repeat(OUTPUT_LIMIT / line.len()) + "end";
            let json = success(&output);
            assert!(json.len() <= RESPONSE_LIMIT && json.len() > RESPONSE_LIMIT * 3 / 4, "{line:?} {}", json.len());
            let ended: Value = serde_json::from_slice(&json).unwrap();
            assert!(output.ends_with(ended["output"].as_str().unwrap()) && ended["exitCode"] == 0, "{line:?}");
        }
    }

    #[test]
    fn both_forms_of_the_event_are_taken() {
        for event in [r#""a 'b c'""#, r#"{"cli": "a 'b c'"}"#] {
            assert_eq!(arguments(event.as_bytes()).unwrap(), ["a", "b c"]);
        }
        for event in ["", "3", "{}", r#"{"cli": null}"#, r#""it's""#, "\"\u{1}"] {
            assert_eq!(arguments(event.as_bytes()).unwrap_err().reason, Reason::InvalidEvent, "{event}");
        }
    }
}
