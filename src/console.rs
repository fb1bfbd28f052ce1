//! Where words go: data to stdout, talk to stderr, progress only for people.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::progress::{Event, Reporter, Way};

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Talk {
    /// Failures only.
    Quiet,
    /// One line for each finished thing.
    Normal,
    /// Places, reasons and beginnings too.
    Verbose,
}

/// The one place that prints.
pub struct Console {
    talk: Talk,
    bars: Option<Bars>,
    colour: bool,
}

/// The moving lines under the finished ones; only on a terminal.
struct Bars {
    group: MultiProgress,
    running: Mutex<Vec<(String, ProgressBar)>>,
}

impl Console {
    /// `progress` is what the user allows; bars need a terminal besides.
    pub fn new(talk: Talk, progress: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let ci = std::env::var_os("CI").is_some();
        let bars = (terminal && progress && !ci && talk == Talk::Normal)
            .then(|| Bars { group: MultiProgress::new(), running: Mutex::default() });
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        Self { talk, bars, colour }
    }

    /// Writes an answer to stdout. A closed pipe is not an error: the reader has seen enough.
    pub fn data(&self, text: &str) {
        let mut out = io::stdout().lock();
        let ended = if text.ends_with('\n') { "" } else { "\n" };
        if write!(out, "{text}{ended}").and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }

    /// One line of talk: a right-aligned verb and what it did.
    pub fn say(&self, verb: &str, text: &str) {
        if self.talk >= Talk::Normal {
            let line =
                if self.colour { format!("\x1b[1;32m{verb:>9}\x1b[0m  {text}") } else { format!("{verb:>9}  {text}") };
            self.line(&line);
        }
    }

    pub fn warn(&self, text: &str) {
        let verb = "warning";
        let line =
            if self.colour { format!("\x1b[1;33m{verb:>9}\x1b[0m  {text}") } else { format!("{verb:>9}  {text}") };
        self.line(&line);
    }

    /// True when a person can be asked something.
    pub fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks on the terminal; anything but yes is no.
    pub fn ask(&self, question: &str) -> bool {
        let mut answer = String::new();
        let _ = write!(io::stderr(), "{question} [y/N] ");
        io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    fn line(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.group.suspend(|| drop(writeln!(io::stderr(), "{line}"))),
            None => drop(writeln!(io::stderr(), "{line}")),
        }
    }

    fn bar(&self, name: &str, text: String) {
        let Some(bars) = &self.bars else { return };
        let Ok(mut running) = bars.running.lock() else { return };
        if let Some((_, bar)) = running.iter().find(|(running, _)| running == name) {
            bar.set_message(text);
            return;
        }
        let bar = bars.group.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{spinner:>9}  {msg} {elapsed:.dim}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        bar.set_style(style);
        bar.enable_steady_tick(Duration::from_millis(120));
        bar.set_message(text);
        running.push((name.to_owned(), bar));
    }

    fn end_bar(&self, name: &str) {
        let Some(bars) = &self.bars else { return };
        let Ok(mut running) = bars.running.lock() else { return };
        if let Some(at) = running.iter().position(|(running, _)| running == name) {
            running.remove(at).1.finish_and_clear();
        }
    }
}

impl Reporter for Console {
    fn event(&self, event: Event) {
        let verbose = self.talk == Talk::Verbose;
        match event {
            Event::Planned { recipe, target, steps, stored } => {
                self.say("Plan", &format!("{recipe} for {target}: {steps} steps, {stored} of them in the store"));
            }
            Event::FetchStarted { name, place } => {
                if verbose {
                    self.say("Ask", &format!("{place} for {name}"));
                }
                self.bar(&name, format!("fetch {name}"));
            }
            Event::FetchProgress { name, done, total } => {
                let of = total.map(|total| format!(" of {}", size(total))).unwrap_or_default();
                self.bar(&name, format!("fetch {name} {}{of}", size(done)));
            }
            Event::Fetched { name, size: bytes, place } => {
                self.end_bar(&name);
                let from = if verbose { format!(" from {place}") } else { String::new() };
                self.say("Fetch", &format!("{name}  {}  sha256 ok{from}", size(bytes)));
            }
            Event::StepStarted { step, running } => {
                if verbose {
                    self.say("Start", &format!("{step} ({running} running)"));
                }
                self.bar(&step, format!("compile {step}"));
            }
            Event::StepFinished { step, elapsed } => {
                self.end_bar(&step);
                self.say("Compile", &format!("{step:<28} {}", seconds(elapsed)));
            }
            Event::StepCached { step } => {
                self.end_bar(&step);
                if verbose {
                    self.say("Cached", &step);
                }
            }
            Event::StepFailed { step, elapsed } => {
                self.end_bar(&step);
                self.say("Failed", &format!("{step:<28} {}", seconds(elapsed)));
            }
            Event::MoveStarted { step, way } => self.bar(&moving(&step, way), moving(&step, way)),
            Event::Moved { step, way, size: bytes, elapsed } => {
                self.end_bar(&moving(&step, way));
                let verb = match way {
                    Way::Pull => "Pull",
                    Way::Push => "Push",
                };
                self.say(verb, &format!("{step:<28} {:<9} {}", seconds(elapsed), size(bytes)));
            }
            Event::MoveEnded { step, way } => self.end_bar(&moving(&step, way)),
            Event::Waiting { what } => self.say("Wait", &format!("another phplayer holds {what}")),
            Event::Done { verb, text } => self.say(verb, &text),
            Event::Warning { text } => self.warn(&text),
        }
    }
}

fn moving(step: &str, way: Way) -> String {
    match way {
        Way::Pull => format!("pull {step}"),
        Way::Push => format!("push {step}"),
    }
}

/// Bytes in the unit people read: `412 KiB`, `8.4 MiB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// `4.2s`, `1m 04s`.
pub fn seconds(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0..60 => format!("{:.1}s", elapsed.as_secs_f64()),
        total => format!("{}m {:02}s", total / 60, total % 60),
    }
}
