//! What a builder says, as our own events: BuildKit's raw JSON, its plain lines, or podman's.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde::Deserialize;

use crate::plan::StepId;
use crate::progress::{Event, Reporter};

use super::builder::Progress;

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
    form: Progress,
    /// Stages in the order of the Dockerfile.
    stages: &'w [(String, Part)],
    reporter: &'w dyn Reporter,
    /// By BuildKit's number, `#12`, or digest.
    vertices: BTreeMap<String, Vertex>,
    running: usize,
    /// The vertex of a podman build that the next lines belong to.
    current: Option<String>,
    /// What no vertex said: the client's own words.
    rest: VecDeque<String>,
    pub ran: Vec<(StepId, Duration)>,
    pub cached: usize,
    pub failed: Option<Failed>,
}

/// The piece that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub part: Part,
    pub last: Vec<String>,
}

struct Vertex {
    part: Option<Part>,
    since: Instant,
    open: bool,
    last: VecDeque<String>,
}

/// One line of `--progress=rawjson`: BuildKit's `SolveStatus`.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    vertexes: Vec<RawVertex>,
    #[serde(default)]
    logs: Vec<RawLog>,
}

#[derive(Deserialize)]
struct RawVertex {
    digest: String,
    #[serde(default)]
    name: String,
    started: Option<serde_json::Value>,
    completed: Option<serde_json::Value>,
    #[serde(default)]
    cached: bool,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct RawLog {
    vertex: String,
    #[serde(default)]
    data: String,
}

impl<'w> Watch<'w> {
    pub fn new(form: Progress, stages: &'w [(String, Part)], reporter: &'w dyn Reporter) -> Self {
        Self {
            form,
            stages,
            reporter,
            vertices: BTreeMap::new(),
            running: 0,
            current: None,
            rest: VecDeque::new(),
            ran: Vec::new(),
            cached: 0,
            failed: None,
        }
    }

    pub fn line(&mut self, line: &str) {
        if self.form == Progress::RawJson
            && let Ok(status) = serde_json::from_str::<Status>(line)
        {
            return self.status(status);
        }
        if let Some((number, said)) = line.strip_prefix('#').and_then(|rest| rest.split_once(' ')) {
            return self.plain(number, said);
        }
        if let Some((place, command)) = line.split_once("] STEP ").filter(|(place, _)| place.starts_with('[')) {
            return self.podman(place, command);
        }
        match self.current.clone() {
            Some(current) => self.output(&current, line),
            None => push(&mut self.rest, line),
        }
    }

    /// The build has ended; `ok` says how. podman does not say which step failed: it is the one under way.
    pub fn end(&mut self, ok: bool) {
        let Some(current) = self.current.take() else { return };
        if ok { self.done(&current, None) } else { self.broke(&current) }
    }

    /// The client's own last words.
    pub fn rest(&self) -> Vec<String> {
        self.rest.iter().cloned().collect()
    }

    fn status(&mut self, status: Status) {
        for vertex in status.vertexes {
            if vertex.started.is_some() || vertex.cached {
                self.begin(&vertex.digest, &vertex.name);
            }
            if !vertex.error.is_empty() {
                if self.vertices.get(&vertex.digest).is_some_and(|known| known.part == Some(Part::Image)) {
                    self.output(&vertex.digest, &vertex.error);
                }
                self.broke(&vertex.digest);
            } else if vertex.cached {
                self.was_cached(&vertex.digest);
            } else if vertex.completed.is_some() {
                self.done(&vertex.digest, None);
            }
        }
        for log in status.logs {
            let bytes = base64::engine::general_purpose::STANDARD.decode(&log.data).unwrap_or_default();
            String::from_utf8_lossy(&bytes).lines().for_each(|line| self.output(&log.vertex, line));
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
            // Of a step it says no more than the exit code; of an image it is all that is said.
            if self.vertices.get(number).is_some_and(|vertex| vertex.part == Some(Part::Image)) {
                self.output(number, why);
            }
            self.broke(number);
        } else {
            let text =
                said.split_once(' ').filter(|(time, _)| time.parse::<f64>().is_ok()).map_or(said, |(_, text)| text);
            self.output(number, text);
        }
    }

    /// `[2/9] STEP 3/3: RUN …`: the second stage.
    fn podman(&mut self, place: &str, command: &str) {
        self.end(true);
        let stage = place[1..].split('/').next().and_then(|number| number.parse::<usize>().ok());
        let Some((name, _)) = stage.and_then(|stage| self.stages.get(stage - 1)) else { return };
        if command.contains(": RUN ") {
            let key = format!("{place} {command}");
            self.begin(&key, &format!("[{name} 1/1] RUN"));
            self.current = Some(key);
        }
    }

    fn begin(&mut self, key: &str, name: &str) {
        if self.vertices.contains_key(key) {
            return;
        }
        let image = name.starts_with("[internal] load metadata for ").then_some(Part::Image);
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
        let vertex = Vertex { part, since: Instant::now(), open: true, last: VecDeque::new() };
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
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    impl Reporter for Seen {
        fn event(&self, event: Event) {
            let line = match event {
                Event::StepStarted { step, running } => format!("start {step} {running}"),
                Event::StepFinished { step, .. } => format!("done {step}"),
                Event::StepCached { step } => format!("cached {step}"),
                Event::StepFailed { step, .. } => format!("failed {step}"),
                other => format!("{other:?}"),
            };
            self.0.lock().expect("nobody panicked").push(line);
        }
    }

    fn stages() -> Vec<(String, Part)> {
        let library = |name: &str| Part::Step(StepId::Library(name.to_owned()));
        vec![
            ("setup".to_owned(), Part::SetUp),
            ("lib-zlib".to_owned(), library("zlib")),
            ("lib-curl".to_owned(), library("curl")),
        ]
    }

    fn watched(form: Progress, text: &str, ok: bool) -> (Vec<String>, Option<Failed>, Vec<String>) {
        let (seen, stages) = (Seen::default(), stages());
        let mut watch = Watch::new(form, &stages, &seen);
        text.lines().for_each(|line| watch.line(line));
        watch.end(ok);
        let (failed, rest) = (watch.failed.clone(), watch.rest());
        (seen.0.into_inner().expect("nobody panicked"), failed, rest)
    }

    #[test]
    fn plain_lines_of_several_steps_at_once_are_told_apart() {
        let text = "#1 [internal] load build definition from Dockerfile\n#1 DONE 0.1s\n\
            #4 [setup 2/5] RUN dnf install\n#4 CACHED\n\
            #5 [lib-zlib 1/1] RUN --mount=x\n#5 0.52 checking\n#6 [lib-curl 1/1] RUN y\n#6 0.1 curl says\n\
            #5 [lib-zlib 1/1] RUN --mount=x\n#5 1.00 done soon\n#5 DONE 3.2s\n#6 0.9 error: no ssl\n#6 ERROR: exit code: 1\n\
            ------\n > [lib-curl 1/1]\n";
        let (events, failed, rest) = watched(Progress::Plain, text, false);
        let expected =
            ["start base 1", "cached base", "start lib:zlib 1", "start lib:curl 2", "done lib:zlib", "failed lib:curl"];
        assert_eq!(events, expected);
        let failed = failed.expect("one failed");
        assert_eq!(failed.last, ["curl says", "error: no ssl"]);
        assert_eq!(failed.part, Part::Step(StepId::Library("curl".to_owned())));
        assert_eq!(rest, ["------", " > [lib-curl 1/1]"]);
    }

    #[test]
    fn raw_json_says_the_same() {
        let text = r#"{"vertexes":[{"digest":"sha256:a","name":"[lib-zlib 1/1] RUN x"},{"digest":"sha256:b","name":"[lib-curl 1/1] RUN y","started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:00Z","cached":true}]}
{"vertexes":[{"digest":"sha256:a","name":"[lib-zlib 1/1] RUN x","started":"2026-01-01T00:00:00Z"}]}
{"logs":[{"vertex":"sha256:a","stream":2,"data":"bm8gc3BhY2UK","timestamp":"2026-01-01T00:00:00Z"}]}
{"vertexes":[{"digest":"sha256:a","name":"[lib-zlib 1/1] RUN x","started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:01Z","error":"exit code: 1"}]}
ERROR: failed to solve
"#;
        let (events, failed, rest) = watched(Progress::RawJson, text, false);
        assert_eq!(events, ["start lib:curl 1", "cached lib:curl", "start lib:zlib 1", "failed lib:zlib"]);
        assert_eq!(failed.expect("one failed").last, ["no space"]);
        assert_eq!(rest, ["ERROR: failed to solve"]);
    }

    #[test]
    fn an_image_that_cannot_be_had_is_no_failing_step() {
        let text = "#3 [internal] load metadata for reg/b:1\n#3 sha256:913f\n#3 ERROR: reg/b:1: not found\n";
        let (events, failed, _) = watched(Progress::Plain, text, false);
        assert_eq!(events, [""; 0]);
        let failed = failed.expect("it failed");
        assert_eq!((failed.part, failed.last), (Part::Image, vec!["reg/b:1: not found".to_owned()]));
    }

    #[test]
    fn podman_numbers_its_stages() {
        let text = "[1/4] STEP 1/3: FROM base AS setup\n[1/4] STEP 2/3: RUN x\n[2/4] STEP 1/2: FROM a AS lib-zlib\n\
            [2/4] STEP 2/2: RUN y\nchecking for gcc\nno gcc\n";
        let (events, failed, _) = watched(Progress::Plain, text, false);
        assert_eq!(events, ["start base 1", "done base", "start lib:zlib 1", "failed lib:zlib"]);
        assert_eq!(failed.expect("one failed").last, ["checking for gcc", "no gcc"]);
    }
}
