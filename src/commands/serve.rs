//! `phplayer serve`: a web server before the packed layers, as API Gateway is before Lambda.

use std::sync::Arc;

use super::function::{FunctionArgs, failure, log_to_stderr};
use crate::console::Console;
use crate::emulator::gateway::Gateway;
use crate::emulator::{EmulatorError, Instance, LogSink, Stop};
use crate::failure::{Failure, Outcome};

/// Serve HTTP from the packed layers, as API Gateway and Lambda would
///
/// Requests become API Gateway events (payload 2.0). One instance serves them one after the other; Ctrl-C ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer serve --handler public/index.php
  phplayer serve --handler index.php --task app --layer runtime.zip --layer vendor.zip --port 0
  phplayer serve --handler index.php --env DB_HOST=127.0.0.1 --env DB_PASSWORD")]
pub struct Args {
    #[command(flatten)]
    function: FunctionArgs,

    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "N", default_value = "8000")]
    port: u16,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let function = args.function.function()?;
    let stop = Stop::default();
    let gateway = Gateway::bind(args.port).map_err(failure)?;
    let sink: LogSink = Arc::new(log_to_stderr);
    let url = format!("http://{}", gateway.address);
    let served = Instance::start(&function, Arc::clone(&sink), stop.clone()).and_then(|mut instance| {
        console.say("Serve", &format!("{} at {url}", function.handler));
        gateway.run(&mut instance, &sink, &stop)
    });
    match served {
        // Being stopped is how a server ends.
        Ok(()) | Err(EmulatorError::Interrupted) => Ok(Outcome::Done),
        Err(error) => Err(failure(error)),
    }
}
