//! `phplayer invoke`: one event into the packed layers, the response out.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use super::event::{self, EventError};
use super::function::{FunctionArgs, failure, log_to_stderr};
use crate::console::Console;
use crate::emulator::front::{Client, Front};
use crate::emulator::http::{Headers, Request};
use crate::emulator::{Example, Function, Instance, Invocation, InvokeOptions, LogSink, Stop};
use crate::failure::{Failure, Outcome};

/// Run one event through the packed layers, as Lambda would
///
/// The response goes to stdout, the log to stderr. The exit code is 1 when the function fails. A streamed response is
/// shown whole. Limits are enforced as `phplayer serve --help` says.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer invoke --handler index.php '{\"name\": \"world\"}'
  phplayer invoke event.json --handler index --layer runtime.zip --layer vendor.zip --task app
  phplayer invoke --handler public/index.php --http 'GET /products?page=2'
  phplayer invoke --handler public/index.php --http 'GET /products' --event alb
  phplayer invoke --handler worker.php --example sqs
  jq .Records[0] sqs.json | phplayer invoke - --handler worker.php --format json")]
pub struct Args {
    /// The event: a file, inline JSON, or `-` for stdin
    #[arg(value_name = "EVENT", default_value = "{}", conflicts_with = "http")]
    event: String,

    /// Make the event of an HTTP request
    #[arg(long, value_name = "METHOD PATH")]
    http: Option<String>,

    /// What makes the event of the request
    #[arg(long = "event", value_enum, value_name = "FRONT", default_value = "v2", requires = "http")]
    front: Front,

    /// Take an event as its source would send it
    #[arg(long, value_enum, value_name = "NAME", conflicts_with_all = ["event", "http"])]
    example: Option<Example>,

    #[command(flatten)]
    function: FunctionArgs,

    /// How the result is shown
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// The response as it is
    Text,
    /// One object with the response, what it cost, and the log
    Json,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let given = args.given().map_err(Failure::input)?;
    let function = args.function.function()?;
    let event = given.event(&function);
    let log = Arc::new(Mutex::new(Vec::new()));
    let sink: LogSink = match args.format {
        Format::Text => Arc::new(log_to_stderr),
        Format::Json => {
            let log = Arc::clone(&log);
            Arc::new(move |line: &str| log.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned()))
        }
    };
    let mut instance = Instance::start(&function, sink, Stop::default()).map_err(failure)?;
    let invocation = instance.invoke(&event, &InvokeOptions::default()).map_err(failure)?;
    drop(instance);
    let payload = invocation.payload();
    match args.format {
        Format::Text => console.data(&String::from_utf8_lossy(&payload)),
        Format::Json => {
            let log = log.lock().unwrap_or_else(PoisonError::into_inner);
            console.data(&summary(&invocation, &payload, &log));
        }
    }
    Ok(if invocation.outcome.error_type().is_some() { Outcome::Objected } else { Outcome::Done })
}

/// The event as it was given.
enum Given {
    Whole(Vec<u8>),
    Request(Front, Request),
}

impl Given {
    fn event(self, function: &Function) -> Vec<u8> {
        match self {
            Given::Whole(event) => event,
            Given::Request(front, request) => front.event(&request, b"", &Client::local(&function.region)).into_bytes(),
        }
    }
}

impl Args {
    fn given(&self) -> Result<Given, EventError> {
        if let Some(example) = self.example {
            return Ok(Given::Whole(example.event().into()));
        }
        if let Some(request) = &self.http {
            let (method, target) = event::http(request)?;
            let headers = Headers(vec![("Host".into(), "localhost".into())]);
            let request = Request::made(method, target, headers, Vec::new());
            return Ok(Given::Request(self.front, request));
        }
        if self.event == "-" {
            let mut event = Vec::new();
            io::stdin().read_to_end(&mut event).map_err(|source| EventError::Unreadable { source })?;
            return Ok(Given::Whole(event));
        }
        Ok(Given::Whole(match event::Given::read(&self.event)? {
            event::Given::Inline(event) | event::Given::File { content: event, .. } => event,
        }))
    }
}

/// `--format json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    request_id: &'a str,
    /// The response's JSON; a string where it is none.
    response: Value,
    function_error: Option<&'static str>,
    billed_ms: u64,
    init_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_ms: Option<f64>,
    duration_ms: f64,
    max_memory_mb: Option<u64>,
    log: &'a [String],
}

fn summary(invocation: &Invocation, payload: &[u8], log: &[String]) -> String {
    let response = serde_json::from_slice(payload)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(payload).into_owned()));
    let ms = |time: Duration| (time.as_secs_f64() * 100_000.0).round() / 100.0;
    let summary = Summary {
        request_id: &invocation.request_id,
        response,
        function_error: invocation.outcome.function_error(),
        billed_ms: invocation.billed_ms,
        init_ms: invocation.init.map(ms),
        restore_ms: invocation.restore.map(ms),
        duration_ms: ms(invocation.duration),
        max_memory_mb: invocation.max_memory_mb,
        log,
    };
    // Strings, numbers and a JSON value: nothing that could not be written.
    serde_json::to_string(&summary).unwrap_or_default()
}
