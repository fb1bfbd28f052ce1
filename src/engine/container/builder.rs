//! The programs that build a Dockerfile: how each is called, and which of them answers.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use crate::process::{self, ProcessError};
use crate::target::Arch;

use super::dockerfile::{Cut, Dialect, Needs};

/// In the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Buildx,
    Docker,
    Podman,
    Nerdctl,
    Finch,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::Buildx, Kind::Docker, Kind::Podman, Kind::Nerdctl, Kind::Finch];

    /// What `--builder` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Buildx => "buildx",
            Kind::Docker => "docker",
            Kind::Podman => "podman",
            Kind::Nerdctl => "nerdctl",
            Kind::Finch => "finch",
        }
    }

    pub const fn program(self) -> &'static str {
        match self {
            Kind::Buildx => "docker",
            other => other.name(),
        }
    }

    const fn verb(self) -> &'static [&'static str] {
        match self {
            Kind::Buildx => &["buildx", "build"],
            _ => &["build"],
        }
    }

    /// How it may cut off the network, the best first. podman passes over a stage that is not wanted without reading it, so
    /// that asking it shows nothing, and before 4.4 a `RUN` of its has no such flag; the option it has always had.
    const fn cuts(self) -> &'static [Cut] {
        match self {
            Kind::Podman => &[Cut::Call],
            _ => &[Cut::Step, Cut::Call],
        }
    }

    /// How it may tell what it does, the best first. Docker's client knows raw JSON since buildx 0.13, which tells nobody:
    /// its help names it much later. podman prints one form only and has no such option.
    const fn forms(self) -> &'static [Progress] {
        match self {
            Kind::Buildx | Kind::Docker => &[Progress::RawJson, Progress::Plain],
            _ => &[Progress::Plain],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.program(), self.verb().join(" "))
    }
}

/// How it tells what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    RawJson,
    Plain,
}

/// A builder that has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builder {
    pub kind: Kind,
    /// A builder of `docker buildx create`, or a context of `docker context create`; absent: the one in use.
    pub instance: Option<String>,
    pub cut: Cut,
    pub progress: Progress,
}

/// One that did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    pub kind: Kind,
    pub why: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum BuilderError {
    #[error("no container builder answers\n\n{}\n", tried.iter().map(|one| format!("  {}: {}", one.kind, one.why)).collect::<Vec<_>>().join("\n"))]
    #[diagnostic(help(
        "install one (Debian: apt-get install docker.io, or podman), or start its daemon (systemctl start docker; \
         DOCKER_HOST names another); the local engine needs none: `--engine local`"
    ))]
    None { tried: Vec<Tried> },
    #[error("cannot ask the builders")]
    #[diagnostic(help("look at the free space and the permissions of the folder for temporary files, TMPDIR"))]
    Io(#[from] std::io::Error),
}

/// What of a build is wanted.
pub struct Order<'o> {
    pub arch: Arch,
    pub dockerfile: &'o Path,
    pub context: &'o Path,
    pub target: &'o str,
    pub cut: bool,
    pub output: Output<'o>,
}

pub enum Output<'o> {
    /// The stage's files, into this folder.
    Folder(&'o Path),
    /// An image of the builder's own store.
    Image(&'o str),
}

impl Builder {
    /// The first that answers; `wanted` is a kind's name, or a builder or context of Docker's, which may be far away.
    pub fn find(wanted: Option<&str>) -> Result<Self, BuilderError> {
        let kind = Kind::ALL.into_iter().find(|kind| Some(kind.name()) == wanted);
        let (kinds, instance) = match (kind, wanted) {
            (Some(kind), _) => (vec![kind], None),
            // buildx takes a context for a builder too; where an image is to be run or looked at, the context must be known.
            (None, Some(instance)) => (vec![Kind::Docker, Kind::Buildx], Some(instance.to_owned())),
            (None, None) => (Kind::ALL.to_vec(), None),
        };
        let scratch = tempfile::tempdir()?;
        let mut tried = Vec::new();
        for kind in kinds {
            match ask(kind, instance.clone(), scratch.path()) {
                Ok(builder) => return Ok(builder),
                Err(why) => tried.push(Tried { kind, why }),
            }
        }
        Err(BuilderError::None { tried })
    }

    /// What it is told in.
    pub fn dialect(&self) -> Dialect {
        let needs = if self.kind == Kind::Podman { Needs::Copied } else { Needs::Mounted };
        Dialect { cut: self.cut, needs }
    }

    /// The arguments of a build, its program's name not among them.
    pub fn arguments(&self, order: &Order<'_>) -> Vec<OsString> {
        let mut words: Vec<OsString> = self.context().iter().chain(self.kind.verb()).map(OsString::from).collect();
        if let (Kind::Buildx, Some(instance)) = (self.kind, &self.instance) {
            words.extend(["--builder".into(), instance.into()]);
        }
        if self.kind != Kind::Podman {
            words.push(match self.progress {
                Progress::RawJson => "--progress=rawjson".into(),
                Progress::Plain => "--progress=plain".into(),
            });
        }
        words.extend(["--platform".into(), platform(order.arch).into()]);
        if order.cut {
            words.push("--network=none".into());
        }
        words.extend(["--target".into(), order.target.into(), "--file".into(), order.dockerfile.into()]);
        match order.output {
            Output::Folder(folder) => {
                let mut output = OsString::from("type=local,dest=");
                output.push(folder);
                words.extend(["--output".into(), output]);
            }
            Output::Image(name) => {
                words.extend(["--tag".into(), name.into()]);
                if self.kind == Kind::Buildx {
                    words.push("--load".into());
                }
            }
        }
        words.push(order.context.into());
        words
    }

    /// Which daemon is meant, before the command. buildx takes a name of its own, behind it.
    fn context(&self) -> Vec<&str> {
        match (self.kind, &self.instance) {
            (Kind::Docker, Some(context)) => vec!["--context", context],
            _ => Vec::new(),
        }
    }

    /// Runs it; all that it says goes to `log`.
    pub fn run(&self, order: &Order<'_>, log: &Path) -> Result<(), ProcessError> {
        run(self.kind, &self.arguments(order), log)
    }

    /// Runs a command in a container of an image, without network, at the user's terminal; returns its exit code.
    pub fn enter(&self, image: &str, command: &str) -> Result<i32, ProcessError> {
        let program = process::find(self.kind.program()).unwrap_or_else(|| self.kind.program().into());
        let terminal = if std::io::IsTerminal::is_terminal(&std::io::stdin()) { "-it" } else { "-i" };
        let run = ["run", "--rm", terminal, "--network=none", image, "/bin/sh", "-c", command];
        let words: Vec<OsString> = self.context().iter().chain(&run).map(OsString::from).collect();
        process::run_interactive(&program, &words)
    }

    /// The digest under which the registry has an image. The builder's program pulls it for that.
    pub fn digest(&self, image: &str, log: &Path) -> Result<Option<String>, ProcessError> {
        let pull: Vec<OsString> = self.context().iter().chain(&["pull", image]).map(OsString::from).collect();
        run(self.kind, &pull, log)?;
        let format = "{{range .RepoDigests}}{{println .}}{{end}}";
        let inspect = [self.context(), vec!["image", "inspect", "--format", format, image]].concat();
        let said = process::answer(self.kind.program(), &inspect).unwrap_or_default();
        Ok(said.lines().find_map(|line| Some(line.split_once("@sha256:")?.1.trim().to_owned())))
    }
}

impl fmt::Display for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        match (self.kind, &self.instance) {
            (Kind::Buildx, Some(instance)) => write!(f, " --builder {instance}"),
            (_, Some(context)) => write!(f, ", context {context}"),
            (_, None) => Ok(()),
        }
    }
}

/// OCI's name of an architecture.
pub fn platform(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "linux/amd64",
        Arch::Arm64 => "linux/arm64",
    }
}

/// Docker's own client builds by BuildKit only since 23, unless it is told to.
fn run(kind: Kind, arguments: &[OsString], log: &Path) -> Result<(), ProcessError> {
    let program = process::find(kind.program()).unwrap_or_else(|| kind.program().into());
    process::run_logged(&program, arguments, log, move |command| {
        process::lead_a_group(command);
        if kind == Kind::Docker {
            command.env("DOCKER_BUILDKIT", "1");
        }
    })
}

/// Whether a builder answers, and what it understands: it is asked, not guessed from a version, since client, daemon and
/// frontend each have their own. The file's first stage is never built, so it need not be runnable, only readable.
fn ask(kind: Kind, instance: Option<String>, scratch: &Path) -> Result<Builder, String> {
    if process::find(kind.program()).is_none() {
        return Err("not installed".to_owned());
    }
    let (log, output, context) = (scratch.join("log"), scratch.join("output"), scratch.join("context"));
    let mut last = Vec::new();
    let forms = kind.forms().iter().flat_map(|progress| kind.cuts().iter().map(move |cut| (*progress, *cut)));
    for (progress, cut) in forms {
        let run = if cut == Cut::Step { "RUN --network=none [\"/none\"]\n" } else { "" };
        let text = format!("FROM scratch AS unused\n{run}FROM scratch AS asked\nCOPY Dockerfile /\n");
        let dockerfile = context.join("Dockerfile");
        let written = fs_err::create_dir_all(&context).and_then(|()| fs_err::write(&dockerfile, text));
        written.map_err(|error| error.to_string())?;
        let builder = Builder { kind, instance: instance.clone(), cut, progress };
        let order = Order {
            arch: Arch::host(),
            dockerfile: &dockerfile,
            context: &context,
            target: "asked",
            cut: false,
            output: Output::Folder(&output),
        };
        match builder.run(&order, &log) {
            Ok(()) if output.join("Dockerfile").is_file() => return Ok(builder),
            Ok(()) => last = vec!["it builds, but writes no output".to_owned()],
            Err(ProcessError::Failed { last: said, .. }) => last = said,
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(last.pop().unwrap_or_else(|| "it fails without a word".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(builder: &Builder, output: Output<'_>) -> String {
        let order = Order {
            arch: Arch::Arm64,
            dockerfile: Path::new("/c/Dockerfile"),
            context: Path::new("/c"),
            target: "result",
            cut: builder.cut == Cut::Call,
            output,
        };
        let words = builder.arguments(&order);
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_kind_is_called_in_its_own_way() {
        let table = [
            (Kind::Buildx, Some("far"), Cut::Step, Progress::RawJson, "buildx build --builder far --progress=rawjson "),
            (Kind::Docker, None, Cut::Call, Progress::Plain, "build --progress=plain "),
            (Kind::Docker, Some("far"), Cut::Step, Progress::Plain, "--context far build --progress=plain "),
            (Kind::Podman, None, Cut::Call, Progress::Plain, "build "),
            (Kind::Nerdctl, None, Cut::Step, Progress::Plain, "build --progress=plain "),
            (Kind::Finch, None, Cut::Step, Progress::Plain, "build --progress=plain "),
        ];
        for (kind, instance, cut, progress, start) in table {
            let builder = Builder { kind, instance: instance.map(str::to_owned), cut, progress };
            let network = if cut == Cut::Call { "--network=none " } else { "" };
            let rest = "--target result --file /c/Dockerfile --output type=local,dest=/o /c";
            let expected = format!("{start}--platform linux/arm64 {network}{rest}");
            assert_eq!(words(&builder, Output::Folder(Path::new("/o"))), expected);
        }
    }

    #[test]
    fn an_image_of_buildx_must_be_asked_for() {
        let builder = |kind| Builder { kind, instance: None, cut: Cut::Step, progress: Progress::Plain };
        assert!(words(&builder(Kind::Buildx), Output::Image("x")).contains("--tag x --load"));
        assert!(!words(&builder(Kind::Docker), Output::Image("x")).contains("--load"));
    }
}
