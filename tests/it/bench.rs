//! `phplayer bench` at the door: a small runtime in bash is measured, and each mistake says its way out.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use fs_err as fs;
use phplayer::bench::Report;
use serde_json::Value;
use zip::write::SimpleFileOptions;

use crate::world::{Said, World};

/// A Runtime API client: `next` sets `id` and `body`, `say WHAT BODY` posts.
const CLIENT: &str = r#"#!/bin/bash
talk() {
    exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API%:*}/${AWS_LAMBDA_RUNTIME_API#*:}"
    printf '%s /2018-06-01/runtime/%s HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' \
        "$1" "$2" "${#3}" "$3" >&3
    while read -r line <&3 && line=${line%$'\r'} && [ -n "$line" ]; do
        case $line in Lambda-Runtime-Aws-Request-Id:*) id=${line#*: } ;; esac
    done
    body=$(cat <&3)
    exec 3>&-
}
next() { talk GET invocation/next ''; }
say() { talk POST "invocation/$id/$1" "$2"; }
"#;

const ECHO: &str = "while next; do say response \"$body\"; done";

/// A world with `runtime.zip`, whose bootstrap is `script`, and an empty `task`.
fn world(script: &str) -> World {
    let world = World::new();
    fs::create_dir_all(world.path("task")).unwrap();
    let mut zip = zip::ZipWriter::new(fs::File::create(world.path("runtime.zip")).unwrap());
    zip.start_file("bootstrap", SimpleFileOptions::DEFAULT.unix_permissions(0o755)).unwrap();
    zip.write_all(format!("{CLIENT}{script}\n").as_bytes()).unwrap();
    zip.finish().unwrap();
    world
}

fn words<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["bench", "--handler", "index", "--layer", "runtime.zip", "--task", "task"];
    words.extend(rest);
    words
}

fn bench(world: &World, rest: &[&str]) -> Said {
    world.run(&words(rest))
}

fn json(said: &Said) -> Value {
    assert_eq!(said.code, 0, "{}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn starts_and_cycles_are_measured_beside_an_empty_runtime() {
    let world = world(ECHO);
    let more = ["--event", r#"{"a": 1}"#, "--reps", "12", "--cold-reps", "3", "--format", "json", "--html", "b.html"];
    let said = bench(&world, &more);
    let report = json(&said);
    assert_eq!((&report["schema"], &report["sent"][0]), (&1.into(), &r#"{"a": 1}"#.into()));
    for (kind, count) in [("cold", 3), ("warm", 12)] {
        for who in ["subject", "floor"] {
            let row = &report[kind][who]["response"];
            assert_eq!(row["count"], count, "{kind} {who}");
            assert_eq!(row["samples"].as_array().unwrap().len(), count);
            let order = ["minimum", "median", "p90", "p99"].map(|name| number(&row[name]));
            assert!(order.is_sorted() && order[0] > 0.0, "{order:?}");
        }
        assert_eq!(report[kind]["direct"], Value::Null, "there is no php-fpm in this layer");
    }
    let median = |who: &str, leg: &str| number(&report["warm"][who][leg]["median"]);
    assert!(median("subject", "next") > median("subject", "response"));
    // A shell that starts a process for each event is slower than a loop in one process: were it not so, the floor would
    // be no floor.
    assert!(median("subject", "response") > median("floor", "response"));
    let cold = &report["cold"]["subject"];
    assert!(number(&cold["response"]["median"]) > number(&cold["init"]["median"]));
    let ratio = number(&report["figures"]["loop_ratio"]);
    assert!((ratio - median("subject", "next") / median("floor", "next")).abs() < 0.01, "{ratio}");
    let processes = report["processes"].as_array().unwrap();
    assert!(
        processes.iter().any(|process| process["name"] == "bash" && number(&process["rss"]) > 1e5),
        "{processes:?}"
    );
    assert!(number(&report["function"]["bootstrap"]) > 500.0);
    let page = fs::read_to_string(world.path("b.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("empty runtime"));
}

#[test]
fn the_table_is_for_people() {
    let world = world(ECHO);
    let said = bench(&world, &["--event", "{}", "--reps", "5", "--cold-reps", "2"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for part in
        ["index: {}", "Cold start", "Warm event", "function: answered", "empty runtime: answered", "Memory", "bash"]
    {
        assert!(said.stdout.contains(part), "{part} in {}", said.stdout);
    }
    assert!(said.stderr.contains("2 starts of each, in turn"), "{}", said.stderr);
}

#[test]
fn a_site_whose_layer_has_no_php_fpm_is_told_so() {
    let world = world("while next; do say response '{\"statusCode\":404}'; done");
    world.write("task/index.php", "<?php\n");
    let said = world.run(&[
        "bench",
        "--handler",
        "index.php",
        "--layer",
        "runtime.zip",
        "--task",
        "task",
        "--reps",
        "1",
        "--cold-reps",
        "0",
    ]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("the layers lack /opt/bin/php"), "{}", said.stderr);
    assert!(said.stderr.contains("GET / is answered with status 404"), "{}", said.stderr);
    assert!(said.stdout.starts_with("index.php: GET / → 404\n"), "{}", said.stdout);
}

#[test]
fn a_soak_counts_every_answer() {
    let world = world(r#"while next; do case $body in *bad*) say error '{}' ;; *) say response "$body" ;; esac; done"#);
    world.write("bad.json", r#"{"bad": true}"#);
    let more = ["--event", r#"{"statusCode": 404}"#, "--event", "bad.json", "--soak", "41", "--format", "json"];
    let report = json(&bench(&world, &more));
    let soak = &report["soak"];
    assert_eq!(soak["events"], 41);
    assert_eq!((&soak["cases"][0]["responses"], &soak["cases"][0]["statuses"]["404"]), (&21.into(), &21.into()));
    assert_eq!((&soak["cases"][1]["sent"], &soak["cases"][1]["errors"]), (&"bad.json".into(), &20.into()));
    let moments: Vec<f64> = soak["moments"].as_array().unwrap().iter().map(|one| number(&one["events"])).collect();
    assert_eq!(moments, [1.0, 5.0, 21.0, 41.0]);
    assert!(number(&soak["moments"][3]["processes"][0]["descriptors"]) >= 3.0);
    assert_eq!(soak["descriptor_growth"], 0);
}

#[test]
fn what_fails_is_told_with_its_log() {
    for (script, reason) in [
        ("echo my last words; exit 3", "the runtime ended with exit status 3; its log ends:"),
        (
            "echo my last words; talk POST init/error '{\"errorMessage\":\"no handler\"}'; sleep 9",
            "could not start: {\"errorMessage\":\"no handler\"}",
        ),
        (
            "echo my last words; next; say error '{\"errorMessage\":\"oh\"}'; next",
            "answers with an error: {\"errorMessage\":\"oh\"}",
        ),
        ("echo my last words; next; next", "another question before it had answered"),
        ("echo my last words; talk GET nothing ''; next", "GET /2018-06-01/runtime/nothing"),
        ("echo my last words; next; sleep 9", "nothing came from the sandbox for 1 s"),
    ] {
        let world = world(script);
        let said = bench(&world, &["--event", "{}", "--timeout", "1"]);
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{script}: {}", said.stderr);
        assert!(said.stderr.contains(reason) && said.stderr.contains("my last words"), "{script}: {}", said.stderr);
    }
}

#[test]
fn a_soak_that_ends_early_says_how_far_it_came() {
    let world = world("for i in 1 2 3; do next; say response 1; done; exit 4");
    let said = bench(&world, &["--event", "{}", "--soak", "10"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("after 2 of 10 events: the runtime ended with exit status 4"), "{}", said.stderr);
}

#[test]
fn words_that_are_wrong_exit_with_2_and_say_what_is_right() {
    let world = world(ECHO);
    world.write("text.json", "not json");
    for (more, reason) in [
        (&["--http", "GET"][..], "a method and a path"),
        (&["--event", "{oh"], "neither a file nor JSON"),
        (&["--event", "text.json"], "holds no JSON"),
        (&["--event", "1", "--event", "2"], "--soak N"),
        (&["--reps", "0", "--cold-reps", "0"], "nothing to measure"),
        (&["--event", "1", "--http", "GET /"], "cannot be used with"),
        (&["--soak", "0"], "invalid value"),
        (&["--snap-start"], "a restore from a snapshot cannot be measured"),
        (&["--env", "LAMBDA_TASK_ROOT=/x"], "is set by Lambda"),
        (&["--layer", "missing.zip"], "there is no layer missing.zip"),
    ] {
        let said = bench(&world, more);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{more:?}: {}", said.stderr);
        assert!(said.stderr.contains(reason), "{more:?}: {}", said.stderr);
    }
}

#[test]
fn an_interrupt_ends_it_at_once_and_leaves_nothing() {
    // A runtime that is silent, and one that never is.
    for (script, more) in [("next; sleep 77", &["--event", "{}"][..]), (ECHO, &["--event", "{}", "--soak", "1000000"])]
    {
        let world = world(script);
        let temporary = world.path("tmp");
        fs::create_dir_all(&temporary).unwrap();
        let mut command = world.command(&words(more));
        let command = command.env("TMPDIR", &temporary).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let start = Instant::now();
        while fs::read_dir(&temporary).unwrap().count() == 0 && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(700));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let ended = Instant::now();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{more:?}");
        assert!(ended.elapsed() < Duration::from_secs(5), "{:?}", ended.elapsed());
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{more:?}");
    }
}

#[test]
fn the_schema_is_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bench/report.schema.json");
    if std::env::var_os("PHPLAYER_BLESS").is_some() {
        fs::write(&path, Report::schema()).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap();
    assert_eq!(checked_in, Report::schema(), "`PHPLAYER_BLESS=1 cargo test` writes it anew");
    let schema: Value = serde_json::from_str(&checked_in).unwrap();
    for key in ["figures", "warm", "cold", "processes", "soak"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
}

/// `recipes/php-84.toml` as built: a site and a function, each beside its limits.
#[test]
#[ignore = "needs the layers that tests/run builds"]
fn a_real_layer_is_measured_beside_its_own_php_fpm() {
    let out = std::env::var("PHPLAYER_TEST_OUT").unwrap();
    let layer = Path::new(&out).join("runtime.zip");
    let world = World::new();
    world.write(
        "task/index.php",
        "<?php http_response_code(201); echo 'hello ', strlen(file_get_contents('php://input'));\n",
    );
    world.write("task/double.php", "<?php return fn ($event) => ['twice' => 2 * $event['n']];\n");
    let run = |more: &[&str]| {
        let mut words = vec!["bench", "--layer", layer.to_str().unwrap(), "--task", "task", "--format", "json"];
        words.extend(["--reps", "60", "--cold-reps", "5"]);
        words.extend(more);
        json(&world.run(&words))
    };
    let site = run(&["--handler", "index.php", "--http", "POST /a", "--body", "100000"]);
    assert_eq!(site["status"], 201);
    for kind in ["cold", "warm"] {
        assert!(number(&site[kind]["direct"]["median"]) > 0.0, "{kind}");
    }
    // Wide, since others may be at work on the machine; the figures themselves are in the README.
    let ratio = number(&site["figures"]["warm_ratio"]);
    assert!((0.3..30.0).contains(&ratio), "{ratio}");
    let names: Vec<&str> =
        site["processes"].as_array().unwrap().iter().map(|process| process["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&"bootstrap") && names.contains(&"php-fpm: pool www"), "{names:?}");
    let function = run(&["--handler", "double", "--event", r#"{"n": 4}"#]);
    assert_eq!(function["warm"]["direct"], Value::Null);
    assert!(number(&function["figures"]["loop_ratio"]) > 0.5);
}
