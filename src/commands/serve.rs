//! `phplayer serve`: a web server before the packed layers, as API Gateway and its like are before Lambda.

use std::sync::Arc;

use miette::Diagnostic;

use super::function::{FunctionArgs, failure, log_to_stderr};
use crate::console::Console;
use crate::emulator::gateway::{Gateway, InvokeMode, Reload, Serving};
use crate::emulator::{EmulatorError, Front, Instance, LogSink, Stop};
use crate::failure::{Failure, Outcome};

/// Serve HTTP from the packed layers, as API Gateway and Lambda would
///
/// Requests become the events of a front: API Gateway, a Function URL or a load balancer. One instance serves them one
/// after the other, and a function that dies or hangs costs its own request only; Ctrl-C ends it. What was invoked, with
/// times, memory and logs, is shown at /__phplayer. When a file of the function changes, the next request gets a fresh
/// execution environment.
///
/// Enforced as on Lambda: sizes of requests and responses, 10 seconds for init, the timeout, memory, 1,024 open files, a
/// read-only file system but for /tmp. Not enforced: the size of /tmp (512 MB on Lambda) and the number of processes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer serve --handler public/index.php
  phplayer serve --handler index.php --task app --layer runtime.zip --layer vendor.zip --port 0
  phplayer serve --handler public/index.php --event url --stream --env PHPLAYER_STREAM=1
  phplayer serve --handler index.php --env DB_HOST=127.0.0.1 --env DB_PASSWORD")]
pub struct Args {
    #[command(flatten)]
    function: FunctionArgs,

    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "N", default_value = "8000")]
    port: u16,

    /// What stands before the function
    #[arg(long = "event", value_enum, value_name = "FRONT", default_value = "v2")]
    front: Front,

    /// Pass streamed responses on as they come (a Function URL's RESPONSE_STREAM, a REST API's STREAM)
    #[arg(long)]
    stream: bool,

    /// Show no page at /__phplayer
    #[arg(long)]
    no_page: bool,

    /// Keep the execution environment when files under --task change
    #[arg(long)]
    no_reload: bool,
}

/// A front was asked to stream that waits for whole responses.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("an {} passes no response on before it is whole", front.title())]
#[diagnostic(help("Function URLs and REST APIs stream: `--event url` or `--event v1`"))]
pub struct CannotStream {
    front: Front,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let serving = args.serving().map_err(Failure::input)?;
    let function = args.function.function()?;
    let stop = Stop::default();
    let gateway = Gateway::bind(args.port).map_err(failure)?;
    let sink: LogSink = Arc::new(log_to_stderr);
    let sink = match &serving.history {
        Some(history) => history.recording(sink),
        None => sink,
    };
    let url = format!("http://{}", gateway.address);
    let served = Instance::start(&function, Arc::clone(&sink), stop.clone()).and_then(|mut instance| {
        console.say("Serve", &format!("{} at {url}", function.handler));
        if serving.history.is_some() {
            console.say("Watch", &format!("its invocations at {url}/__phplayer"));
        }
        gateway.run(&mut instance, &serving, &sink, &stop)
    });
    match served {
        // Being stopped is how a server ends.
        Ok(()) | Err(EmulatorError::Interrupted) => Ok(Outcome::Done),
        Err(error) => Err(failure(error)),
    }
}

impl Args {
    fn serving(&self) -> Result<Serving, CannotStream> {
        if self.stream && !self.front.can_stream() {
            return Err(CannotStream { front: self.front });
        }
        Ok(Serving {
            front: self.front,
            mode: if self.stream { InvokeMode::ResponseStream } else { InvokeMode::Buffered },
            history: (!self.no_page).then(Arc::default),
            reload: if self.no_reload { Reload::Never } else { Reload::OnChange },
        })
    }
}
