//! Installing what the local engine needs, with the system's package manager, when the user says so.

use std::ffi::OsString;

use crate::console::Console;
use crate::failure::Failure;
use crate::process;
use crate::toolchain;

/// The system's package manager said no, or there is none that we know.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum SetupError {
    #[error("no package manager is known here that installs {}", packages.join(" "))]
    #[diagnostic(help("install them by hand, then build again"))]
    NoManager { packages: Vec<String> },
    #[error("`{command}` failed")]
    #[diagnostic(help("run it by hand to see why; then build again"))]
    Failed { command: String },
}

/// Sees to it that `tools` are here: installs them if the user agreed on the command line, or agrees now.
pub(super) fn ensure(tools: &[String], agreed: bool, console: &Console) -> Result<(), Failure> {
    let lacking = toolchain::lacking(tools);
    if lacking.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<String> = lacking.iter().flat_map(|tool| packages_of(tool)).map(str::to_owned).collect();
    packages.sort();
    packages.dedup();
    let question = format!("This machine lacks {}. Install {}?", lacking.join(", "), packages.join(" "));
    let agreed = agreed || (console.can_ask() && console.ask(&question));
    if !agreed {
        return Err(Failure::machine(toolchain::missing(&lacking)));
    }
    console.say("Install", &packages.join(" "));
    let Some(manager) = process::find("apt-get") else {
        return Err(Failure::machine(SetupError::NoManager { packages }));
    };
    let log = std::env::temp_dir().join(format!("phplayer-setup-{}.log", std::process::id()));
    let (program, start) = match process::answer("id", &["-u"]).as_deref() {
        Some("0") => (manager, Vec::new()),
        _ => (process::find("sudo").unwrap_or_else(|| "sudo".into()), vec![manager.into_os_string()]),
    };
    let install = ["install", "-y", "--no-install-recommends"].map(OsString::from).into_iter();
    let steps = [vec![OsString::from("update")], install.chain(packages.iter().map(OsString::from)).collect()];
    for step in steps {
        let arguments: Vec<OsString> = start.iter().cloned().chain(step).collect();
        let run = process::run_logged(&program, &arguments, &log, |command| {
            command.env("DEBIAN_FRONTEND", "noninteractive");
        });
        if let Err(error) = run {
            if let process::ProcessError::Failed { last, .. } = &error {
                last.iter().for_each(|line| console.warn(line));
            }
            let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
            let command = format!("{} {}", program.display(), words.join(" "));
            return Err(Failure::machine(SetupError::Failed { command }));
        }
    }
    let _ = fs_err::remove_file(&log);
    match toolchain::lacking(tools) {
        still if still.is_empty() => Ok(()),
        still => Err(Failure::machine(toolchain::missing(&still))),
    }
}

/// gcc alone brings no C library headers; zig's are used, but the bootstrap's own build wants them too.
fn packages_of(tool: &str) -> Vec<&str> {
    match tool {
        "composer" => vec!["composer", "php-cli", "unzip"],
        other => vec![toolchain::package_of(other)],
    }
}
