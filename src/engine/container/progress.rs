//! What a builder says, as our own events: BuildKit's raw JSON, its plain lines, or podman's.

mod podman;
mod raw_json;

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::time::{Duration, Instant};

use base64::Engine as _;

use crate::plan::StepId;
use crate::progress::{Event, Reporter};

use podman::Word;
use raw_json::{Line, Objects, Status};

/// How many of a step's last lines an error shows.
const LAST_LINES: usize = 25;

/// What a piece of the build is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Asking the registry what the base image is; no step of ours, but it may fail.
    Image,
    SetUp,
    Step(StepId),
}

/// Follows a build from line to line.
pub struct Watch<'w> {
    form: Form<'w>,
    /// Stages in the order of the Dockerfile.
    stages: &'w [(String, Part)],
    reporter: &'w dyn Reporter,
    /// By BuildKit's number, `#12`, or digest.
    vertices: BTreeMap<String, Vertex>,
    running: usize,
    /// podman's instructions under way; the last one speaks. One that needs another stage is begun before that stage is.
    begun: Vec<String>,
    /// What no vertex said: the client's own words.
    rest: VecDeque<String>,
    pub ran: Vec<(StepId, Duration)>,
    pub cached: usize,
    pub failed: Option<Failed>,
}

/// How the builder's words are read.
enum Form<'w> {
    RawJson(Objects, Box<dyn Write + 'w>),
    Plain,
}

/// The piece that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub part: Part,
    pub last: Vec<String>,
}

struct Vertex {
    /// Where its lines come from, for the log.
    name: String,
    part: Option<Part>,
    since: Instant,
    open: bool,
    last: VecDeque<String>,
    /// Of its last line, as far as it has come.
    unended: Vec<u8>,
}

impl<'w> Watch<'w> {
    /// With a `log` the builder speaks raw JSON, and what people can read of that is written there.
    pub fn new(log: Option<Box<dyn Write + 'w>>, stages: &'w [(String, Part)], reporter: &'w dyn Reporter) -> Self {
        Self {
            form: log.map_or(Form::Plain, |log| Form::RawJson(Objects::default(), log)),
            stages,
            reporter,
            vertices: BTreeMap::new(),
            running: 0,
            begun: Vec::new(),
            rest: VecDeque::new(),
            ran: Vec::new(),
            cached: 0,
            failed: None,
        }
    }

    pub fn line(&mut self, line: &str) {
        match &mut self.form {
            Form::RawJson(objects, _) => match objects.line(line) {
                Line::Part => {}
                Line::Whole(status) => self.status(status),
                Line::Other(text) => self.own_word(&text),
            },
            Form::Plain => self.plain_line(line),
        }
    }

    fn plain_line(&mut self, line: &str) {
        if let Some((number, said)) = line.strip_prefix('#').and_then(|rest| rest.split_once(' ')) {
            return self.plain(number, said);
        }
        if let Some((stage, instruction)) = podman::instruction(line) {
            return self.podman(stage, instruction);
        }
        let Some(last) = self.begun.last().cloned() else { return self.own_word(line) };
        match podman::word(line) {
            Word::Cached => self.was_cached(&last),
            Word::Done => {
                self.begun.pop();
                self.done(&last, None);
            }
            // Another stage may have begun since.
            Word::Failed { step } => {
                let failed = self.begun.iter().find(|begun| step.is_some() && podman::step(begun) == step);
                self.broke(&failed.cloned().unwrap_or(last));
            }
            Word::Other => self.output(&last, line),
        }
    }

    /// A line that belongs to no vertex.
    fn own_word(&mut self, line: &str) {
        self.log(line);
        push(&mut self.rest, line);
    }

    /// Where the builder's own words are not for people.
    fn log(&mut self, line: &str) {
        if let Form::RawJson(_, log) = &mut self.form {
            // What is lost with a full disk is told by the build itself.
            let _ = writeln!(log, "{line}");
        }
    }

    /// The build has ended; `ok` says how. podman does not always say which step failed: it is the one under way.
    pub fn end(&mut self, ok: bool) {
        while let Some(last) = self.begun.pop() {
            match (ok, &self.failed) {
                (true, _) => self.done(&last, None),
                (false, None) => self.broke(&last),
                (false, Some(_)) => {}
            }
        }
    }

    /// The client's own last words.
    pub fn rest(&self) -> Vec<String> {
        self.rest.iter().cloned().collect()
    }

    fn status(&mut self, status: Status) {
        for vertex in status.vertexes {
            if (vertex.started.is_some() || vertex.cached) && !self.vertices.contains_key(&vertex.digest) {
                // A step's name has its whole script.
                self.log(&vertex.name.chars().take(120).collect::<String>());
                self.begin(&vertex.digest, &vertex.name);
            }
            if !vertex.error.is_empty() {
                if self.vertices.get(&vertex.digest).is_some_and(|known| !known.unended.is_empty()) {
                    self.printed(&vertex.digest, b"\n".to_vec());
                }
                self.log(&format!("{}: {}", place(&vertex.name), vertex.error));
                self.broke_for(&vertex.digest, &vertex.error);
            } else if vertex.cached {
                self.was_cached(&vertex.digest);
            } else if vertex.completed.is_some() {
                self.done(&vertex.digest, None);
            }
        }
        for log in status.logs {
            let bytes = base64::engine::general_purpose::STANDARD.decode(&log.data).unwrap_or_default();
            self.printed(&log.vertex, bytes);
        }
    }

    /// Bytes of a vertex, which may end in the middle of a line.
    fn printed(&mut self, key: &str, bytes: Vec<u8>) {
        let Some(vertex) = self.vertices.get_mut(key) else { return };
        vertex.unended.extend(bytes);
        let Some(end) = vertex.unended.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = vertex.unended.split_off(end + 1);
        let whole = std::mem::replace(&mut vertex.unended, rest);
        let name = vertex.name.clone();
        for line in String::from_utf8_lossy(&whole).lines() {
            self.log(&format!("{name}: {line}"));
            self.output(key, line);
        }
    }

    /// `#12 [lib-zlib 1/1] RUN …`, `#12 0.532 text`, `#12 DONE 3.2s`, `#12 CACHED`, `#12 ERROR: …`.
    fn plain(&mut self, number: &str, said: &str) {
        if said.starts_with('[') {
            self.begin(number, said);
        } else if said == "CACHED" {
            self.was_cached(number);
        } else if let Some(time) = said.strip_prefix("DONE ") {
            let seconds = time.trim_end_matches('s').parse().ok().map(Duration::from_secs_f64);
            self.done(number, seconds);
        } else if let Some(why) = said.strip_prefix("ERROR: ") {
            self.broke_for(number, why);
        } else {
            let text =
                said.split_once(' ').filter(|(time, _)| time.parse::<f64>().is_ok()).map_or(said, |(_, text)| text);
            self.output(number, text);
        }
    }

    /// podman begins an instruction of a stage.
    fn podman(&mut self, stage: usize, instruction: &str) {
        // It says nothing at the end of a `FROM`.
        if let Some(look_up) = self.begun.pop_if(|begun| begun.starts_with("FROM ")) {
            self.done(&look_up, None);
        }
        let Some((name, part)) = self.stages.get(stage) else { return };
        let (word, rest) = instruction.split_once(' ').unwrap_or((instruction, ""));
        let key = format!("{instruction} of stage {stage}");
        match word {
            "FROM" if *part == Part::SetUp => self.begin(&key, &format!("{LOOK_UP}{rest}")),
            "FROM" => return,
            _ => self.begin(&key, &format!("[{name} 1/1] {word}")),
        }
        self.begun.push(key);
    }

    fn begin(&mut self, key: &str, name: &str) {
        if self.vertices.contains_key(key) {
            return;
        }
        let image = name.starts_with(LOOK_UP).then_some(Part::Image);
        let step = || {
            let (place, command) = name.strip_prefix('[')?.split_once("] ")?;
            let stage = place.split(' ').next().filter(|_| command.starts_with("RUN"))?;
            self.stages.iter().find(|(known, _)| known == stage).map(|(_, part)| part.clone())
        };
        let part = image.or_else(step);
        if let Some(step) = part.as_ref().and_then(shown) {
            self.running += 1;
            self.reporter.event(Event::StepStarted { step, running: self.running });
        }
        let vertex = Vertex {
            name: place(name).to_owned(),
            part,
            since: Instant::now(),
            open: true,
            last: VecDeque::new(),
            unended: Vec::new(),
        };
        self.vertices.insert(key.to_owned(), vertex);
    }

    fn output(&mut self, key: &str, line: &str) {
        match self.vertices.get_mut(key) {
            // A line that is a digest is the progress of a download or of a look-up: it explains nothing.
            Some(_) if line.starts_with("sha256:") => {}
            Some(vertex) => push(&mut vertex.last, line),
            None => push(&mut self.rest, line),
        }
    }

    /// Ends a vertex once, and gives what it was to us.
    fn close(&mut self, key: &str) -> Option<(Part, Duration, Vec<String>)> {
        let vertex = self.vertices.get_mut(key).filter(|vertex| vertex.open)?;
        vertex.open = false;
        let part = vertex.part.clone()?;
        self.running = self.running.saturating_sub(usize::from(shown(&part).is_some()));
        Some((part, vertex.since.elapsed(), vertex.last.iter().cloned().collect()))
    }

    fn done(&mut self, key: &str, told: Option<Duration>) {
        if let Some((part, watched, _)) = self.close(key) {
            let elapsed = told.unwrap_or(watched);
            if let Some(step) = shown(&part) {
                self.reporter.event(Event::StepFinished { step, elapsed });
            }
            if let Part::Step(id) = part {
                self.ran.push((id, elapsed));
            }
        }
    }

    fn was_cached(&mut self, key: &str) {
        if let Some((part, ..)) = self.close(key) {
            if let Some(step) = shown(&part) {
                self.reporter.event(Event::StepCached { step });
            }
            self.cached += usize::from(matches!(part, Part::Step(_)));
        }
    }

    /// Of a step that has said something, the reason is no more than its command and exit code; else it is all that is said.
    fn broke_for(&mut self, key: &str, why: &str) {
        if self.vertices.get(key).is_some_and(|vertex| vertex.last.is_empty() || vertex.part == Some(Part::Image)) {
            self.output(key, why);
        }
        self.broke(key);
    }

    /// BuildKit cancels what runs beside a failing step, and calls that an error too: the first one counts.
    fn broke(&mut self, key: &str) {
        if let Some((part, elapsed, last)) = self.close(key) {
            if let Some(step) = shown(&part) {
                self.reporter.event(Event::StepFailed { step, elapsed });
            }
            self.failed.get_or_insert(Failed { part, last });
        }
    }
}

/// How BuildKit calls the look at a base image.
const LOOK_UP: &str = "[internal] load metadata for ";

/// `[lib-zlib 1/1]` of `[lib-zlib 1/1] RUN …`.
fn place(name: &str) -> &str {
    name.split_inclusive("] ").next().unwrap_or(name).trim_end()
}

/// The name that people see, of what is work.
fn shown(part: &Part) -> Option<String> {
    match part {
        Part::Image => None,
        Part::SetUp => Some("base".to_owned()),
        Part::Step(id) => Some(id.to_string()),
    }
}

fn push(lines: &mut VecDeque<String>, line: &str) {
    if line.trim().is_empty() {
        return;
    }
    if lines.len() == LAST_LINES {
        lines.pop_front();
    }
    lines.push_back(line.to_owned());
}

#[cfg(test)]
mod tests;
