//! A plan as a Dockerfile: one stage a step, each output at the place where the local engine has it too.
//!
//! The text depends on plan and image alone, so that it can be compared, kept and cached. It has no `# syntax` line: a
//! builder's own frontend must do, since fetching another is a download that nobody asked for.

use std::fmt::Write;

use crate::plan::{Plan, SourceMount, Step, StepId};
use crate::target::Arch;

use super::Image;

/// How compiling steps are cut off from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// `RUN --network=none`, which BuildKit's frontend knows since 1.3 (Docker 23).
    Step,
    /// By an option of the whole call. The set-up needs the network, so it becomes an image of its own before.
    Call,
}

/// How a stage gets what others have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Mounted,
    /// podman before 4.4 mounts nothing of a stage that comes from its cache (buildah issue 4375). It costs a copy of PHP's
    /// headers and archives a stage.
    Copied,
}

/// What a builder understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    pub cut: Cut,
    pub needs: Needs,
}

impl Dialect {
    /// BuildKit's of today, for a file that phplayer does not give to a builder itself.
    pub const BUILDKIT: Self = Self { cut: Cut::Step, needs: Needs::Mounted };
}

/// Where the first stage comes from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'s> {
    /// The base image; the set-up commands are run here.
    Base,
    /// An image in which they have been run.
    SetUp(&'s str),
}

/// The stage whose content is the result.
pub const RESULT: &str = "result";
/// The stage with the build tools.
pub const SETUP: &str = "setup";

/// Programs that every step may use.
const TOOLS: &str =
    "gcc ld ar nm objcopy readelf make autoconf automake libtoolize m4 perl pkg-config tar xz sed awk find cmp";

/// What a step's script expects of its surroundings; the local engine's toolchain gives it the same.
/// Times inside outputs: the first second of 1980 that a zip can hold, in UTC.
fn environment(arch: Arch) -> [(&'static str, &'static str); 14] {
    [
        ("AR", "ar"),
        ("BUILD", arch.triple()),
        // Debian's gcc links position-independent programs unless it is told not to; the objects are not (see CFLAGS).
        ("CC", "gcc -no-pie"),
        // One word: with more, libtool takes it for granted that there is a C++ compiler, and a base may have none.
        ("CXX", "g++"),
        ("CXXFLAGS", "-O2 -fno-pie -no-pie"),
        ("HOME", "/build"),
        ("LC_ALL", "C"),
        ("LD", "ld"),
        ("LIBRARY_PATH", "/toolchain/lib"),
        ("NM", "nm"),
        ("OBJCOPY", "objcopy"),
        ("RUN", ""),
        ("SOURCE_DATE_EPOCH", "315532800"),
        ("TZ", "UTC"),
    ]
}

/// All that a step finds here besides what its plan says, for its key.
pub fn surroundings(arch: Arch) -> String {
    format!("{:?}{ANY_ORDER}", environment(arch))
}

/// The stage of a step. Docker takes lower-case letters only.
pub fn stage(id: &StepId) -> String {
    match id {
        // A recipe's name says nothing about what is linked: two recipes with the same content share the stage.
        StepId::Link(_) => "link".to_owned(),
        other => other.file_name().to_lowercase(),
    }
}

/// The folder of a source in the build context.
pub fn folder(mount: &SourceMount) -> String {
    format!("sources/{}-{}", mount.pinned.name, mount.pinned.version)
}

/// The whole text.
pub fn render(plan: &Plan, image: &Image, dialect: Dialect, start: Start<'_>) -> String {
    let mut text = format!(
        "# {}: PHP {} for {}, one stage a step. Written by phplayer {}.\n\
         # Its context has each source, verified and unpacked, as sources/NAME-VERSION: `phplayer fetch --context DIR`.\n",
        plan.recipe,
        plan.php,
        plan.target,
        env!("CARGO_PKG_VERSION"),
    );
    if !image.pinned {
        text.push_str("# The base has no digest here: `phplayer lock --engine container` pins it.\n");
    }
    text.push('\n');
    match start {
        Start::Base => text.push_str(&set_up(plan, image, dialect.cut)),
        Start::SetUp(made) => drop(writeln!(text, "FROM {made} AS {SETUP}")),
    }
    for step in &plan.steps {
        text.push_str(&step_stage(plan, step, dialect));
    }
    let link = plan.link();
    let _ = write!(text, "\nFROM scratch AS {RESULT}\nCOPY --from={} {}/ /\n", stage(&link.id), link.id.place());
    text
}

/// The stage that a person looks around in.
pub const SHELL: &str = "shell";
/// Where the context has the script of that step.
pub const SHELL_SCRIPT: &str = "phplayer-step";

/// [`render`]'s text, and a stage more: all that a step sees when it starts, the step itself not run.
pub fn render_shell(plan: &Plan, step: &Step, image: &Image, dialect: Dialect, start: Start<'_>) -> String {
    let mut text = render(plan, image, dialect, start);
    let _ = write!(text, "\nFROM {SETUP} AS {SHELL}\nCOPY {SHELL_SCRIPT} /build/.{SHELL_SCRIPT}\n");
    for mount in &step.sources {
        let _ = writeln!(text, "COPY {} {}", folder(mount), mount.at);
    }
    text + &copies(step.needs.iter())
}

fn copies<'n>(needs: impl Iterator<Item = &'n StepId>) -> String {
    needs.map(|need| format!("COPY --from={} {place} {place}\n", stage(need), place = need.place())).collect()
}

/// The base with its build tools: the one stage that has the network.
pub fn set_up(plan: &Plan, image: &Image, cut: Cut) -> String {
    let mut text = format!("FROM {} AS {SETUP}\n", image.reference);
    if !image.setup.is_empty() {
        let _ = writeln!(text, "RUN {}", image.setup.join(" \\\n && "));
    }
    // The JIT registers its frames with what zig calls libunwind; gcc has it in libgcc_eh.
    let _ = writeln!(
        text,
        "RUN {network}{} \\\n && rm -rf /opt && mkdir -p /build /opt /toolchain/lib \\\n && echo 'INPUT(-lgcc_eh)' > /toolchain/lib/libunwind.so",
        present(TOOLS),
        network = network(cut),
    );
    let words: Vec<String> =
        environment(plan.target.arch).iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let _ = writeln!(text, "ENV {}\nWORKDIR /build", words.join(" \\\n    "));
    text
}

/// What a builder prints when the base lacks a tool; the engine looks for it.
pub const LACKS: &str = "phplayer: the base image lacks:";

/// Shell text that fails with the names of all programs that are not there.
fn present(tools: &str) -> String {
    format!(
        "missing=; for tool in {tools}; do command -v $tool >/dev/null || missing=\"$missing $tool\"; done; \\\n    \
         [ -z \"$missing\" ] || {{ echo \"{LACKS}$missing\" >&2; exit 1; }}"
    )
}

fn network(cut: Cut) -> &'static str {
    match cut {
        Cut::Step => "--network=none ",
        Cut::Call => "",
    }
}

fn step_stage(plan: &Plan, step: &Step, dialect: Dialect) -> String {
    let needs = step.needs.iter().filter(|need| plan.step(need).is_some());
    let (mounted, copied): (Vec<_>, Vec<_>) = needs.partition(|_| dialect.needs == Needs::Mounted);
    let copied = copies(copied.into_iter());
    let mut text = format!("\nFROM {SETUP} AS {}\n{copied}RUN {}", stage(&step.id), network(dialect.cut));
    for mount in mounts(step, &mounted) {
        let _ = write!(text, "\\\n    {mount} ");
    }
    text.push_str("\\\n    printf '%s\\n' \\\n");
    for line in script(step).lines() {
        let _ = writeln!(text, "    {} \\", quoted(line));
    }
    let _ = writeln!(text, "    > /tmp/step && mkdir -p {} && sh /tmp/step", step.id.place());
    text
}

/// Sources from the context, outputs from their stages; all read-only.
fn mounts(step: &Step, needs: &[&StepId]) -> Vec<String> {
    let sources =
        step.sources.iter().map(|mount| format!("--mount=type=bind,source={},target={}", folder(mount), mount.at));
    let needs = needs.iter().map(|need| {
        let place = need.place();
        format!("--mount=type=bind,from={},source={place},target={place}", stage(need))
    });
    sources.chain(needs).collect()
}

/// GNU ld takes from an archive what is asked for when it comes to it, and PHP's configure names libraries before the program
/// that wants them (PHP_CHECK_LIBRARY); zig's linker has no such order. An open group lasts to the end of the call.
const ANY_ORDER: &str = "export LDFLAGS=-Wl,--start-group\n";

/// Before a step's key, in its script.
pub const MARK: &str = "# step ";

/// The step's own script behind its environment. One shell file, so that a person in the container can run it again.
///
/// Its key is in it because podman takes a command for done by its text, whatever is mounted: buildah's cache does not look
/// there, and a source that changes under its version would not be compiled anew.
pub fn script(step: &Step) -> String {
    let mut text = format!("{MARK}{}\n", step.key);
    for (name, value) in &step.environment {
        let _ = writeln!(text, "export {name}={}", quoted(value));
    }
    text.push_str("export MAKEFLAGS=-j$(nproc)\n");
    if matches!(step.id, StepId::Extension(_)) {
        text.push_str(ANY_ORDER);
    }
    if !step.tools.is_empty() {
        text.push_str(&present(&step.tools.join(" ")).replace("\\\n    ", "\n"));
        text.push('\n');
    }
    text + &step.script
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_one_word() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
