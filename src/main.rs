//! The program: as `cc` it is the steps' compiler, in the bench's sandboxes what is measured beside the function, else it
//! reads the command line, runs the verb, and shows one failure.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use phplayer::cli::Cli;
use phplayer::failure::Kind;
use phplayer::{bench, process, toolchain};

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    if let Some(language) = toolchain::cc::role(&called) {
        return toolchain::cc::main(language);
    }
    if let Some(role) = bench::role::Role::of(&called) {
        return bench::role::main(role);
    }
    // A path or a command in a message is there to be copied: no line is broken.
    let hook = miette::set_hook(Box::new(|_| {
        let options = miette::MietteHandlerOpts::new().wrap_lines(false).break_words(false);
        Box::new(options.show_related_errors_as_nested().build())
    }));
    debug_assert!(hook.is_ok(), "nobody else sets it");
    let cli = Cli::parse();
    if let Some(directory) = &cli.global.directory
        && let Err(error) = std::env::set_current_dir(directory)
    {
        eprintln!("cannot work in {}: {error}", directory.display());
        return Kind::Input.code();
    }
    process::kill_children_on_interrupt();
    let console = cli.console();
    match cli.run(&console) {
        Ok(outcome) => outcome.code(),
        Err(_) if process::interrupted() => {
            console.warn("interrupted; what was finished stays in the store");
            ExitCode::from(130)
        }
        Err(failure) => {
            eprintln!("{:?}", failure.report);
            failure.kind.code()
        }
    }
}
