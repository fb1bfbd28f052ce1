//! The container engine: a plan as a multi-stage Dockerfile, built by any BuildKit-compatible builder.

pub mod bake;
pub mod builder;
pub mod context;
pub mod dockerfile;
pub mod progress;

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::catalogue::BaseImage;
use crate::digest::Digest;
use crate::lockfile::Locked;
use crate::plan::{Plan, Step, StepId};
use crate::process::ProcessError;
use crate::progress::{Event, Reporter};
use crate::source::Fetcher;
use crate::store::Store;
use crate::target::Arch;

use super::{EngineError, Tree};
use builder::{Builder, Order, Output, Progress};
use dockerfile::{Cut, Start};
use progress::{Failed, Part, Watch};

/// What the steps run in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The base's name.
    pub base: String,
    /// What `FROM` names: with its digest where one is locked.
    pub reference: String,
    pub pinned: bool,
    /// Commands that give it the build tools.
    pub setup: Vec<String>,
}

impl Image {
    /// A lock of another image than the definition's says nothing of this one.
    pub fn new(definition: &BaseImage, locked: Option<&Locked>) -> Self {
        let digest =
            locked.filter(|locked| locked.version == definition.image).and_then(|locked| locked.sha256.first());
        let reference = match digest {
            Some(digest) => format!("{}@sha256:{digest}", definition.image),
            None => definition.image.clone(),
        };
        Self { base: definition.name.clone(), reference, pinned: digest.is_some(), setup: definition.setup.clone() }
    }

    /// What compiles, and in which surroundings, as a part of every step's key.
    pub fn toolchain(&self, arch: Arch) -> String {
        let surroundings = Digest::of(dockerfile::surroundings(arch).as_bytes());
        let setup = Digest::of(self.setup.join("\n").as_bytes());
        format!("gcc of {}, set-up {}, surroundings {}", self.reference, setup.short(), surroundings.short())
    }
}

/// What a run works with.
pub struct Site<'s> {
    pub store: &'s Store,
    pub fetcher: &'s Fetcher,
    pub reporter: &'s dyn Reporter,
    pub builder: &'s Builder,
    pub image: &'s Image,
    /// The recipe's file as the user names it, for the way into a failed step.
    pub recipe: &'s Path,
}

/// Has the builder make what the link puts out, and keeps that in the store. What the builder made before comes from its
/// own cache.
pub fn run(plan: &Plan, site: &Site<'_>) -> Result<Tree, EngineError> {
    let store = site.store;
    let key = plan.link().key;
    let name = format!("container-{}-{}", plan.recipe, key.short());
    let _lock = store.lock(&name, site.reporter)?;
    if let Some(root) = store.step(&key) {
        return Ok(Tree { root, ran: Vec::new() });
    }
    let draft = store.draft(&name)?;
    let context = draft.join("context");
    fs_err::create_dir_all(&context).map_err(|cause| store.error(cause))?;
    context::lay_out(plan, &context, store, site.fetcher, site.reporter)?;

    let start = set_up(plan, site, &context)?;
    let start = start.as_deref().map_or(Start::Base, Start::SetUp);
    let text = dockerfile::render(plan, site.image, site.builder.dialect(), start);
    let output = draft.join("output");
    let ran =
        build(plan, site, &context, &text, dockerfile::RESULT, site.builder.cut == Cut::Call, Output::Folder(&output))?;
    store.keep(&key, &output, &plan.inputs(plan.link()))?;
    let _ = fs_err::remove_dir_all(&draft);
    let root = store.step(&key).expect("it was kept in the line above");
    Ok(Tree { root, ran })
}

/// Opens a shell in a container that stands as the step finds it, with the step's commands in a file.
pub fn shell(plan: &Plan, step: &Step, site: &Site<'_>) -> Result<i32, EngineError> {
    let store = site.store;
    let name = format!("container-shell-{}", step.key.short());
    let _lock = store.lock(&name, site.reporter)?;
    let draft = store.draft(&name)?;
    let context = draft.join("context");
    fs_err::create_dir_all(&context).map_err(|cause| store.error(cause))?;
    context::lay_out(plan, &context, store, site.fetcher, site.reporter)?;
    let script = format!("mkdir -p {}\n{}", step.id.place(), dockerfile::script(step));
    fs_err::write(context.join(dockerfile::SHELL_SCRIPT), script).map_err(|cause| store.error(cause))?;
    let start = set_up(plan, site, &context)?;
    let start = start.as_deref().map_or(Start::Base, Start::SetUp);
    let text = dockerfile::render_shell(plan, step, site.image, site.builder.dialect(), start);
    let tag = format!("phplayer-shell:{}", step.key.short());
    let cut = site.builder.cut == Cut::Call;
    build(plan, site, &context, &text, dockerfile::SHELL, cut, Output::Image(&tag))?;
    let _ = fs_err::remove_dir_all(&draft);
    let hello = "echo 'The step is in .phplayer-step: run it with  sh -x .phplayer-step'; exec /bin/sh";
    site.builder
        .enter(&tag, hello)
        .map_err(|cause| EngineError::BuilderNotRun { builder: site.builder.to_string(), cause })
}

/// Where the builder cannot cut off single steps, the set-up becomes an image, and the whole call is cut off afterwards.
/// Without set-up commands nothing needs the network.
fn set_up(plan: &Plan, site: &Site<'_>, context: &Path) -> Result<Option<String>, EngineError> {
    if site.builder.cut == Cut::Step || site.image.setup.is_empty() {
        return Ok(None);
    }
    let text = dockerfile::set_up(plan, site.image, Cut::Call);
    let tag = format!("phplayer-setup-{}:{}", site.image.base, Digest::of(text.as_bytes()).short());
    build(plan, site, context, &text, dockerfile::SETUP, false, Output::Image(&tag))?;
    Ok(Some(tag))
}

/// One call of the builder, watched.
fn build(
    plan: &Plan,
    site: &Site<'_>,
    context: &Path,
    text: &str,
    target: &str,
    cut: bool,
    output: Output<'_>,
) -> Result<Vec<(StepId, Duration)>, EngineError> {
    let store = site.store;
    let dockerfile = context.join("Dockerfile");
    fs_err::write(&dockerfile, text).map_err(|cause| store.error(cause))?;
    let log = store.log(&format!("container-{}-{target}", plan.recipe), &plan.link().key);
    let order = Order { arch: plan.target.arch, dockerfile: &dockerfile, context, target, cut, output };
    let steps = plan.steps.iter().map(|step| (dockerfile::stage(&step.id), Part::Step(step.id.clone())));
    let stages: Vec<(String, Part)> = [(dockerfile::SETUP.to_owned(), Part::SetUp)].into_iter().chain(steps).collect();
    // What is for programs is read and dropped; a person finds the log in its place.
    let raw = log.with_extension("json");
    let (said, readable) = match site.builder.progress {
        Progress::Plain => (&log, None),
        Progress::RawJson => (&raw, Some(fs_err::File::create(&log).map_err(|cause| store.error(cause))?)),
    };
    let readable = readable.map(|file| Box::new(file) as Box<dyn Write>);
    let mut watch = Watch::new(readable, &stages, site.reporter);

    // What an earlier run said must not be read as this one's.
    let _ = fs_err::remove_file(said);
    let ended = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let result = site.builder.run(&order, said);
            ended.store(true, Ordering::SeqCst);
            result
        });
        follow(said, &ended, |line| watch.line(line));
        call.join().unwrap_or(Err(ProcessError::Interrupted))
    });
    watch.end(result.is_ok());
    let _ = fs_err::remove_file(&raw);
    match result {
        Ok(()) => {
            if watch.cached > 0 {
                let text = format!("{} steps from the builder's cache", watch.cached);
                site.reporter.event(Event::Done { verb: "Cached", text });
            }
            Ok(watch.ran)
        }
        Err(ProcessError::Interrupted) => Err(EngineError::Interrupted),
        Err(ProcessError::Failed { last, .. }) => {
            let last = if site.builder.progress == Progress::RawJson { watch.rest() } else { last };
            Err(failure(plan, site, watch.failed, last, log))
        }
        Err(cause) => Err(EngineError::BuilderNotRun { builder: site.builder.to_string(), cause }),
    }
}

/// What went wrong, from what the failing step said, or else from the builder's own last words.
fn failure(plan: &Plan, site: &Site<'_>, failed: Option<Failed>, last: Vec<String>, log: PathBuf) -> EngineError {
    let (builder, arch) = (site.builder.to_string(), plan.target.arch);
    let image = || site.image.reference.clone();
    let lacks =
        |lines: &[String]| lines.iter().find_map(|line| Some(line.split_once(dockerfile::LACKS)?.1.trim().to_owned()));
    match failed {
        // The kernel's word, where neither it nor an emulator knows a program's architecture.
        Some(failed) if failed.last.iter().any(|line| line.contains("exec format error")) => {
            EngineError::Foreign { builder, arch, last: failed.last }
        }
        Some(failed) => match (lacks(&failed.last), failed.part) {
            (Some(tools), _) => EngineError::BaseLacks { base: site.image.base.clone(), image: image(), tools },
            (None, Part::Image) => {
                EngineError::NoImage { image: image(), pinned: site.image.pinned, last: failed.last }
            }
            (None, Part::SetUp) => EngineError::SetUp { image: image(), last: failed.last, log },
            (None, Part::Step(step)) => {
                EngineError::Stage { step, recipe: site.recipe.to_owned(), last: failed.last, log }
            }
        },
        None => EngineError::BuilderDied { builder, last, log },
    }
}

/// Gives each line of a growing file to `line`, until `ended`; what came last too.
fn follow(log: &Path, ended: &AtomicBool, mut line: impl FnMut(&str)) {
    let (mut at, mut rest) = (0, Vec::new());
    loop {
        // Asked before reading: what was written before the end is read in this round.
        let last = ended.load(Ordering::SeqCst);
        let mut read = || -> std::io::Result<()> {
            let mut file = fs_err::File::open(log)?;
            file.seek(SeekFrom::Start(at))?;
            at += file.read_to_end(&mut rest)? as u64;
            Ok(())
        };
        // Not there yet: the builder has not been started.
        let _ = read();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let text: Vec<u8> = rest.drain(..=end).collect();
            line(String::from_utf8_lossy(&text).trim_end_matches(['\r', '\n']));
        }
        if last {
            if !rest.is_empty() {
                line(&String::from_utf8_lossy(&rest));
            }
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> BaseImage {
        toml::from_str(
            "name = \"b\"\nsummary = \"B\"\nimage = \"reg/b:1\"\nruntime = \"provided.al2023\"\nglibc = \"2.34\"\npolicy = \"al2023\"\n",
        )
        .expect("a definition")
    }

    #[test]
    fn an_image_is_named_by_the_digest_that_is_locked_for_it_and_no_other() {
        let locked = |version: &str| Locked { version: version.to_owned(), sha256: vec![Digest::of(b"image")] };
        let pinned = Image::new(&definition(), Some(&locked("reg/b:1")));
        assert_eq!(pinned.reference, format!("reg/b:1@sha256:{}", Digest::of(b"image")));
        assert!(pinned.pinned && pinned.toolchain(Arch::X86_64).contains(&pinned.reference));
        for image in [Image::new(&definition(), None), Image::new(&definition(), Some(&locked("reg/b:2")))] {
            assert_eq!((image.reference.as_str(), image.pinned), ("reg/b:1", false));
        }
    }

    #[test]
    fn a_growing_file_is_followed_to_its_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("log");
        let ended = AtomicBool::new(false);
        let mut seen = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                fs_err::write(&log, "one\ntwo").expect("written");
                std::thread::sleep(Duration::from_millis(150));
                fs_err::write(&log, "one\ntwo and\nthree").expect("written");
                ended.store(true, Ordering::SeqCst);
            });
            follow(&log, &ended, |line| seen.push(line.to_owned()));
        });
        assert_eq!(seen, ["one", "two and", "three"]);
    }
}
