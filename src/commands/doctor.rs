//! `phplayer doctor`: what this machine has, what it lacks, and the command that mends it.

use crate::console::Console;
use crate::engine::choice;
use crate::engine::container::builder::{Builder, BuilderError};
use crate::failure::{Failure, Outcome};
use crate::layer::bootstrap;
use crate::process;
use crate::store::Store;
use crate::target::{Arch, Base, Target};
use crate::toolchain::{self, Toolchain};

use super::chosen::Places;

/// Check what this machine has, and say what mends what it lacks
#[derive(Debug, clap::Args)]
#[command(after_help = "Ends with 3 when something that a build needs is missing.

Examples:
  phplayer doctor
  phplayer doctor --arch arm64        what a build for Graviton needs here")]
pub struct Args {
    /// Check for builds for this architecture [default: this machine's]
    #[arg(long)]
    pub arch: Option<Arch>,
    #[command(flatten)]
    pub places: Places,
}

/// One line of the answer.
enum Line {
    Ok(String),
    /// Something is missing that not every build needs.
    Warn(String, String),
    Fail(String, String),
}

/// Something that every build needs is missing.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("this machine cannot build yet: {count} of the checks above failed")]
#[diagnostic(help(
    "each failed line says what mends it; `phplayer build --setup` installs what the package manager has"
))]
struct Sick {
    count: usize,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let arch = args.arch.unwrap_or(Arch::host());
    let mut lines = vec![tools(arch), compiler(arch), sandbox(), store(&args.places), zig(&args.places)];
    lines.extend(engines());
    lines.extend(bootstraps());
    lines.push(optional("composer", "vendor.zip", "apt-get install composer"));
    let mut text = String::new();
    let mut failed = 0;
    for line in &lines {
        text.push_str(&match line {
            Line::Ok(what) => format!("ok    {what}\n"),
            Line::Warn(what, mend) => format!("warn  {what}\n      {mend}\n"),
            Line::Fail(what, mend) => format!("fail  {what}\n      {mend}\n"),
        });
        failed += usize::from(matches!(line, Line::Fail(..)));
    }
    console.data(&text);
    match failed {
        0 => Ok(Outcome::Done),
        count => Err(Failure::machine(Sick { count })),
    }
}

fn tools(arch: Arch) -> Line {
    match toolchain::lacking(&toolchain::cross(arch)) {
        lacking if lacking.is_empty() => Line::Ok("build tools".to_owned()),
        lacking => {
            let mut packages: Vec<&str> = lacking.iter().map(|tool| toolchain::package_of(tool)).collect();
            packages.sort_unstable();
            packages.dedup();
            Line::Fail(
                format!("build tools: no {}", lacking.join(", ")),
                format!("apt-get install {}", packages.join(" ")),
            )
        }
    }
}

fn compiler(arch: Arch) -> Line {
    match Toolchain::identity(Target { arch, base: Base::default() }) {
        Ok(identity) => Line::Ok(format!("toolchain: {identity}")),
        Err(error) => {
            let mend = miette::Diagnostic::help(&error).map(|help| help.to_string());
            Line::Fail(format!("toolchain: {error}"), mend.unwrap_or_default())
        }
    }
}

fn sandbox() -> Line {
    match choice::can_isolate() {
        true => Line::Ok("sandbox: bubblewrap works".to_owned()),
        false => Line::Fail(
            "sandbox: bubblewrap is missing, or user namespaces are forbidden here".to_owned(),
            "apt-get install bubblewrap; sysctl kernel.unprivileged_userns_clone=1; in a container: --privileged"
                .to_owned(),
        ),
    }
}

fn store(places: &Places) -> Line {
    match places.root().and_then(|root| Store::open(&root)) {
        Ok(store) => Line::Ok(format!("store: {}", store.root().display())),
        Err(error) => {
            Line::Fail(format!("store: {error}"), "name another folder with --store or PHPLAYER_STORE".to_owned())
        }
    }
}

fn zig(places: &Places) -> Line {
    let pinned = toolchain::zig_pinned();
    let here = places.peek().is_ok_and(|store| toolchain::has_zig(&store));
    match here {
        true => Line::Ok(format!("zig {} in the store", pinned.version)),
        false => Line::Warn(
            format!("zig {}: not in the store yet", pinned.version),
            "the first build gets it, from upstream or by pip: apt-get install python3-pip".to_owned(),
        ),
    }
}

/// What `auto` means here and why, and whether the other engine could serve too.
fn engines() -> Vec<Line> {
    let local = choice::local_serves(Target { arch: Arch::host(), base: Base::default() });
    let builder = Builder::find(None);
    let auto = match (&local, &builder) {
        (Ok(()), _) => Line::Ok("engine: `auto` means local here: its tools and sandboxes work".to_owned()),
        (Err(why), Ok(builder)) => Line::Ok(format!("engine: `auto` means container here, by {builder}: {why}")),
        (Err(why), Err(_)) => {
            let mend = "mend what failed above, or install a container builder: apt-get install docker.io".to_owned();
            Line::Fail(format!("engine: neither local ({why}) nor a container builder can serve"), mend)
        }
    };
    let container = match builder {
        Ok(builder) => Line::Ok(format!("container builder: {builder} answers")),
        Err(BuilderError::None { tried }) => {
            let tried: Vec<String> = tried.iter().map(|one| format!("{}: {}", one.kind, one.why)).collect();
            let what =
                format!("container builder: none answers, and `--engine container` needs one ({})", tried.join("; "));
            Line::Warn(what, "apt-get install docker.io, or podman; systemctl start docker".to_owned())
        }
        Err(error) => Line::Warn(format!("container builder: {error}"), "name another folder with TMPDIR".to_owned()),
    };
    vec![auto, container]
}

fn bootstraps() -> Vec<Line> {
    let line = |arch: Arch| match bootstrap::for_arch(arch) {
        Some(bytes) => Line::Ok(format!("bootstrap for {arch}: {} kB", bytes.len() / 1000)),
        None => {
            let what = format!("bootstrap for {arch}: not carried by this phplayer");
            Line::Warn(what, bootstrap::way_out(arch))
        }
    };
    Arch::ALL.map(line).into()
}

fn optional(program: &str, purpose: &str, mend: &str) -> Line {
    match process::find(program) {
        Some(path) => Line::Ok(format!("{program}: {}", path.display())),
        None => Line::Warn(format!("{program}: missing, {purpose} needs it"), mend.to_owned()),
    }
}
