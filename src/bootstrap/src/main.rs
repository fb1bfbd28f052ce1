//! The custom runtime inside a phplayer layer: takes events from Lambda's Runtime API, lets PHP answer them.
//!
//! This file starts and loops; the rest is the library beside it.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::thread;

use phplayer_bootstrap::answer::{Answer, InitError};
use phplayer_bootstrap::handler::Handler;
use phplayer_bootstrap::log::{Level, Log, Style};
use phplayer_bootstrap::runtime_api::{ApiError, RuntimeApi};
use phplayer_bootstrap::settings::{Settings, Shutdown, Start};
use phplayer_bootstrap::{console, farewell, fpm, function, http, settings};

/// musl's allocator gives memory back to the system at every chance: an event of 100 kB would wait for its pages each time.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Whoever runs this by hand learns what it is for.
const NO_API: &str = "AWS_LAMBDA_RUNTIME_API is not set: this program is started by Lambda, or by `phplayer invoke` and \
                      `phplayer serve`";

fn main() -> ExitCode {
    let Some(host) = settings::api() else {
        eprintln!("{NO_API}");
        return ExitCode::FAILURE;
    };
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(error) => {
            let log = Log::new(Style::Text);
            return refuse(&mut RuntimeApi::new(&host, &log), &log, &error);
        }
    };
    fpm::sweep();
    if settings.shutdown == Shutdown::Announced
        && let Err(error) = farewell::announce(&host, Log::new(settings.log))
    {
        Log::new(settings.log).say(Level::Warn, &format!("SIGTERM will not come before the end: {error}"));
    }
    // One loop for each event that may be worked on at the same time, each with PHP processes of its own: what a function
    // does to one costs the others nothing. All end together, since only an unusable Runtime API ends one.
    thread::scope(|scope| {
        for _ in 1..settings.concurrency.get() {
            scope.spawn(|| std::process::exit(i32::from(run(&host, &settings) != ExitCode::SUCCESS)));
        }
        run(&host, &settings)
    })
}

/// Starts PHP and answers events, as long as there is a Runtime API.
fn run(host: &str, settings: &Settings) -> ExitCode {
    let log = Log::new(settings.log);
    let mut api = RuntimeApi::new(host, &log);
    let mut runtime = match start(settings, &log) {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&mut api, &log, &error),
    };
    if settings.start == Start::Snapshot {
        if let Err(error) = api.wait_for_restore() {
            return fail(&log, &error);
        }
        if let Err(error) = runtime.after_restore() {
            log.say(Level::Error, &error.to_string());
            return match api.restore_error(&error) {
                Ok(()) => ExitCode::FAILURE,
                Err(refused) => fail(&log, &refused),
            };
        }
    }
    loop {
        if let Err(error) = serve_one(&mut api, runtime.as_mut(), settings) {
            return fail(&log, &error);
        }
    }
}

/// Finds the handler and brings PHP up. All of this is Lambda's init phase, where even a small function has a whole processor.
fn start(settings: &Settings, log: &Log) -> Result<Box<dyn Answer>, InitError> {
    Ok(match Handler::find(settings)? {
        Handler::Site(site) => Box::new(http::Http::start(site, settings, log)?),
        Handler::Function(function) => Box::new(function::Function::start(function, settings, log)?),
        Handler::Script(script) => Box::new(console::Console::new(script, settings, log)),
    })
}

fn serve_one(api: &mut RuntimeApi, runtime: &mut dyn Answer, settings: &Settings) -> Result<(), ApiError> {
    let invocation = api.next(settings.margin)?;
    runtime.answer(&invocation, api.reply(&invocation))?;
    api.done(invocation);
    Ok(())
}

/// Tells Lambda why there is no runtime.
fn refuse(api: &mut RuntimeApi, log: &Log, error: &InitError) -> ExitCode {
    log.say(Level::Error, &error.to_string());
    match api.init_error(error) {
        Ok(()) => ExitCode::FAILURE,
        Err(refused) => fail(log, &refused),
    }
}

fn fail(log: &Log, error: &dyn std::fmt::Display) -> ExitCode {
    log.say(Level::Error, &error.to_string());
    ExitCode::FAILURE
}
