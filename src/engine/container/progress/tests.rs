//! What builders print, and what comes of it.

use std::sync::Mutex;

use super::super::builder::Progress;
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
    let (events, failed, rest, _) = watched_and_logged(form, text, ok);
    (events, failed, rest)
}

fn watched_and_logged(form: Progress, text: &str, ok: bool) -> (Vec<String>, Option<Failed>, Vec<String>, String) {
    let (seen, stages) = (Seen::default(), stages());
    let mut log = Vec::new();
    let readable = (form == Progress::RawJson).then(|| Box::new(&mut log) as Box<dyn Write>);
    let mut watch = Watch::new(readable, &stages, &seen);
    text.lines().for_each(|line| watch.line(line));
    watch.end(ok);
    let (failed, rest) = (watch.failed.clone(), watch.rest());
    drop(watch);
    let log = String::from_utf8(log).expect("text");
    (seen.0.into_inner().expect("nobody panicked"), failed, rest, log)
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

/// As buildx 0.13 prints it: indented, and a line of a step in pieces.
#[test]
fn raw_json_says_the_same() {
    let text = r#"{
  "vertexes": [
    {
      "digest": "sha256:a",
      "name": "[lib-zlib 1/1] RUN x"
    },
    {
      "digest": "sha256:b",
      "name": "[lib-curl 1/1] RUN y",
      "started": "2026-01-01T00:00:00Z",
      "completed": "2026-01-01T00:00:00Z",
      "cached": true
    }
  ]
}
{"vertexes":[{"digest":"sha256:a","name":"[lib-zlib 1/1] RUN x","started":"2026-01-01T00:00:00Z"}]}
{
  "logs": [
    {
      "vertex": "sha256:a",
      "stream": 2,
      "data": "bm8gc3A=",
      "timestamp": "2026-01-01T00:00:00Z"
    },
    {
      "vertex": "sha256:a",
      "stream": 2,
      "data": "YWNlCmF0IGFsbA==",
      "timestamp": "2026-01-01T00:00:00Z"
    }
  ]
}
{
  "vertexes": [
    {
      "digest": "sha256:a",
      "name": "[lib-zlib 1/1] RUN x",
      "started": "2026-01-01T00:00:00Z",
      "completed": "2026-01-01T00:00:01Z",
      "error": "exit code: 1"
    }
  ]
}
{no object}
ERROR: failed to solve
"#;
    let (events, failed, rest, log) = watched_and_logged(Progress::RawJson, text, false);
    assert_eq!(events, ["start lib:curl 1", "cached lib:curl", "start lib:zlib 1", "failed lib:zlib"]);
    assert_eq!(failed.expect("one failed").last, ["no space", "at all"]);
    assert_eq!(rest, ["{no object}", "ERROR: failed to solve"]);
    let expected = "[lib-curl 1/1] RUN y\n[lib-zlib 1/1] RUN x\n[lib-zlib 1/1]: no space\n[lib-zlib 1/1]: at all\n\
        [lib-zlib 1/1]: exit code: 1\n{no object}\nERROR: failed to solve\n";
    assert_eq!(log, expected);
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
fn a_step_that_fails_without_a_word_has_its_builders() {
    let text = "#4 [setup 2/5] RUN dnf install\n#4 ERROR: network bridge not found\n";
    let (_, failed, _) = watched(Progress::Plain, text, false);
    assert_eq!(failed.expect("one failed").last, ["network bridge not found"]);
}

#[test]
fn podman_numbers_its_stages() {
    let text = "[1/4] STEP 1/3: FROM base AS setup\n[1/4] STEP 2/3: RUN x\n--> Using cache 48f0ddf1f6cbd5\n--> 48f0ddf1f6c\n\
        [1/4] STEP 3/3: ENV AR=ar\n--> 8ab440951b1\n\
        [2/4] STEP 1/2: FROM a AS lib-zlib\n[2/4] STEP 2/2: RUN '# step 1a'\nmore\n--> 5935cc23e2c\n\
        [3/4] STEP 1/2: FROM a AS lib-curl\n[3/4] STEP 2/2: RUN '# step 2b'\nchecking for gcc\nno gcc\n\
        Error: building at STEP \"RUN '# step 2b'\": while running runtime: exit status 1\n";
    let (events, failed, _) = watched(Progress::Plain, text, false);
    let expected =
        ["start base 1", "cached base", "start lib:zlib 1", "done lib:zlib", "start lib:curl 1", "failed lib:curl"];
    assert_eq!(events, expected);
    assert_eq!(failed.expect("one failed").last, ["checking for gcc", "no gcc"]);
}

/// It begins one that has to wait for another, and begins the next when one has failed.
#[test]
fn podmans_stages_come_in_any_order() {
    let text = "[1/4] STEP 1/1: FROM base AS setup\n\
        [3/4] STEP 1/2: FROM a AS lib-curl\n[3/4] STEP 2/2: RUN '# step 2b'\n\
        [2/4] STEP 1/2: FROM a AS lib-zlib\n[2/4] STEP 2/2: RUN '# step 1a'\nzlib's\n--> 5935cc23e2c\n\
        curl's\n--> 7932ab8b370\n";
    let (events, failed, rest) = watched(Progress::Plain, text, true);
    assert_eq!(events, ["start lib:curl 1", "start lib:zlib 2", "done lib:zlib", "done lib:curl"]);
    assert_eq!((failed, rest), (None, Vec::new()));

    let text = "[1/4] STEP 1/1: FROM base AS setup\n\
        [3/4] STEP 1/2: FROM a AS lib-curl\n[3/4] STEP 2/2: RUN '# step 2b'\nno gcc\n\
        [2/4] STEP 1/2: FROM a AS lib-zlib\n[2/4] STEP 2/2: RUN '# step 1a'\n\
        Error: building at STEP \"RUN '# step 2b'\": exit status 1\n";
    let (events, failed, _) = watched(Progress::Plain, text, false);
    assert_eq!(events, ["start lib:curl 1", "start lib:zlib 2", "failed lib:curl"]);
    assert_eq!(failed.expect("one failed").last, ["no gcc"]);
}

#[test]
fn podman_numbers_no_stage_where_there_is_one() {
    let (events, ..) = watched(Progress::Plain, "STEP 1/2: FROM base AS setup\nSTEP 2/2: RUN x\nCOMMIT t\n", true);
    assert_eq!(events, ["start base 1", "done base"]);
}

#[test]
fn podman_that_has_no_image_has_no_failing_step() {
    let text =
        "[1/4] STEP 1/4: FROM reg/b:1 AS setup\nTrying to pull reg/b:1...\nError: creating build container: no\n";
    let (events, failed, _) = watched(Progress::Plain, text, false);
    assert_eq!(events, [""; 0]);
    let failed = failed.expect("it failed");
    let last = ["Trying to pull reg/b:1...", "Error: creating build container: no"];
    assert_eq!((failed.part, failed.last), (Part::Image, last.map(str::to_owned).to_vec()));
}
