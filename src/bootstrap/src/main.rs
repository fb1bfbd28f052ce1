//! The custom runtime inside a phplayer layer: takes events from Lambda's Runtime API, lets PHP answer them.
//!
//! From the top: `main` loops; `http`, `function` and `console` are the three ways to answer; `fpm` and `worker` are the
//! PHP processes behind them; `event`, `cgi`, `fastcgi` and `response` translate; `runtime_api` talks to Lambda.
#![forbid(unsafe_code)]

mod answer;
mod base64;
mod cgi;
mod connection;
mod console;
mod event;
mod fastcgi;
mod fpm;
mod function;
mod handler;
mod http;
mod invocation;
mod response;
mod runtime_api;
mod settings;
mod worker;

use std::process::ExitCode;

use answer::{Answer, InitError};
use handler::Handler;
use runtime_api::{ApiError, RuntimeApi};
use settings::Settings;

fn main() -> ExitCode {
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(error) => return fail(&error),
    };
    let mut api = RuntimeApi::new(settings.api.clone());
    let mut runtime = match start(&settings) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return match api.init_error(&error) {
                Ok(()) => ExitCode::FAILURE,
                Err(refused) => fail(&refused),
            };
        }
    };
    // Only an unusable Runtime API ends the loop: whatever the function does is an answer.
    loop {
        if let Err(error) = serve_one(&mut api, runtime.as_mut()) {
            return fail(&error);
        }
    }
}

/// Finds the handler and brings PHP up. All of this is Lambda's init phase, where even a small function has a whole processor.
fn start(settings: &Settings) -> Result<Box<dyn Answer>, InitError> {
    Ok(match Handler::find(settings)? {
        Handler::Site(site) => Box::new(http::Http::start(site, settings)?),
        Handler::Function(function) => Box::new(function::Function::start(function, settings)?),
        Handler::Script(script) => Box::new(console::Console::new(script, settings)),
    })
}

fn serve_one(api: &mut RuntimeApi, runtime: &mut dyn Answer) -> Result<(), ApiError> {
    let invocation = api.next()?;
    match runtime.answer(&invocation) {
        Ok(body) => api.respond(&invocation, &body),
        Err(error) => {
            eprintln!("{}\tInvoke Error\t{}", invocation.id, error.to_json());
            api.fail(&invocation, &error)
        }
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
