//! The programs that build a Dockerfile: how each is called, and which of them answers.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::{self, ProcessError};
use crate::target::Arch;

use super::dockerfile::{Cut, Dialect, Needs};

/// How long a builder may think about one small question: a daemon may accept a call and never answer it.
const PATIENCE: Duration = Duration::from_secs(20);

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
            let answer = match process::find(kind.program()) {
                Some(program) => {
                    // A new builder of buildx fetches BuildKit itself when it is first asked.
                    let patience = if instance.is_some() { 6 * PATIENCE } else { PATIENCE };
                    ask(&program, kind, instance.clone(), scratch.path(), patience)
                }
                None => Err("not installed".to_owned()),
            };
            match answer {
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
        run(&self.program(), self.kind, &self.arguments(order), log, None)
    }

    fn program(&self) -> PathBuf {
        process::find(self.kind.program()).unwrap_or_else(|| self.kind.program().into())
    }

    /// Runs a command in a container of an image, without network, at the user's terminal; returns its exit code.
    pub fn enter(&self, image: &str, command: &str) -> Result<i32, ProcessError> {
        let terminal = if std::io::IsTerminal::is_terminal(&std::io::stdin()) { "-it" } else { "-i" };
        let run = ["run", "--rm", terminal, "--network=none", image, "/bin/sh", "-c", command];
        let words: Vec<OsString> = self.context().iter().chain(&run).map(OsString::from).collect();
        process::run_interactive(&self.program(), &words)
    }

    /// The digest under which the registry has an image. The builder's program pulls it for that.
    pub fn digest(&self, image: &str, log: &Path) -> Result<Option<String>, ProcessError> {
        let pull: Vec<OsString> = self.context().iter().chain(&["pull", image]).map(OsString::from).collect();
        run(&self.program(), self.kind, &pull, log, None)?;
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
fn run(
    program: &Path,
    kind: Kind,
    arguments: &[OsString],
    log: &Path,
    limit: Option<Duration>,
) -> Result<(), ProcessError> {
    process::run_within(limit, program, arguments, log, move |command| {
        process::lead_a_group(command);
        if kind == Kind::Docker {
            command.env("DOCKER_BUILDKIT", "1");
        }
    })
}

/// Whether a builder answers, and what it understands: it is asked, not guessed from a version, since client, daemon and
/// frontend each have their own. The file's first stage is never built, so it need not be runnable, only readable.
fn ask(
    program: &Path,
    kind: Kind,
    instance: Option<String>,
    scratch: &Path,
    patience: Duration,
) -> Result<Builder, String> {
    let (log, output, context) = (scratch.join("log"), scratch.join("output"), scratch.join("context"));
    let mut last = Vec::new();
    let forms = kind.forms().iter().flat_map(|progress| kind.cuts().iter().map(move |cut| (*progress, *cut)));
    for (progress, cut) in forms {
        let step = if cut == Cut::Step { "RUN --network=none [\"/none\"]\n" } else { "" };
        let text = format!("FROM scratch AS unused\n{step}FROM scratch AS asked\nCOPY Dockerfile /\n");
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
        match run(program, kind, &builder.arguments(&order), &log, Some(patience)) {
            Ok(()) if output.join("Dockerfile").is_file() => return Ok(builder),
            Ok(()) => last = vec!["it builds, but writes no output".to_owned()],
            Err(ProcessError::Failed { last: said, .. }) => last = said,
            Err(ProcessError::Late { limit, .. }) => {
                return Err(format!("does not answer within {limit:?}"));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(reason(&last).unwrap_or("it fails without a word").to_owned())
}

/// The line of a program's last ones that says why it failed: advice may follow it.
pub fn reason(last: &[String]) -> Option<&str> {
    let starts = ["ERROR", "Error"];
    let holds = ["unknown", "Cannot connect"];
    let tells = |line: &&String| {
        starts.iter().any(|word| line.starts_with(word)) || holds.iter().any(|word| line.contains(word))
    };
    last.iter().find(tells).or(last.last()).map(String::as_str)
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
    fn the_reason_is_told_and_not_the_advice_after_it() {
        let table: [(&[&str], Option<&str>); 5] = [
            (&[], None),
            (
                &[
                    "ERROR: BuildKit is enabled but the buildx component is missing or broken.",
                    "       Install the buildx component to build images with BuildKit:",
                    "       https://docs.docker.com/go/buildx/",
                ],
                Some("ERROR: BuildKit is enabled but the buildx component is missing or broken."),
            ),
            (
                &["docker: unknown command: docker buildx", "Run 'docker --help' for more information"],
                Some("docker: unknown command: docker buildx"),
            ),
            (
                &["Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "", "see --help"],
                Some("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"),
            ),
            (&["#1 load", "failed to dial: connection refused"], Some("failed to dial: connection refused")),
        ];
        for (lines, expected) in table {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(reason(&lines), expected);
        }
    }

    /// A client that waits for its daemon: it is ended with what it has started, and the other forms are not tried.
    #[test]
    fn one_that_never_answers_is_ended() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let program = dir.path().join("docker");
        let pid = dir.path().join("pid");
        let script = format!("#!/bin/sh\nsleep 600 &\necho $! >>{}\nwait\n", pid.display());
        fs_err::write(&program, script).expect("written");
        fs_err::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("executable");
        let answer = ask(&program, Kind::Docker, None, dir.path(), Duration::from_secs(1));
        assert_eq!(answer, Err("does not answer within 1s".to_owned()));
        let pid = fs_err::read_to_string(&pid).expect("it was started");
        assert_eq!(pid.lines().count(), 1, "asked once");
        let alive = || {
            let words = fs_err::read_to_string(format!("/proc/{}/cmdline", pid.trim()));
            words.is_ok_and(|words| words.contains("sleep"))
        };
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while alive() {
            assert!(std::time::Instant::now() < end, "its child lives");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn an_image_of_buildx_must_be_asked_for() {
        let builder = |kind| Builder { kind, instance: None, cut: Cut::Step, progress: Progress::Plain };
        assert!(words(&builder(Kind::Buildx), Output::Image("x")).contains("--tag x --load"));
        assert!(!words(&builder(Kind::Docker), Output::Image("x")).contains("--load"));
    }
}
