//! `serve`: the fronts, deaths, the page, a changed function.

use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use phplayer::emulator::Stop;
use phplayer::emulator::front::Front;
use phplayer::emulator::gateway::{Reload, Serving};
use serde_json::{Value, json};

use super::{ECHO, Served, World, command};

fn behind(front: Front) -> Serving {
    Serving { front, ..Serving::default() }
}

#[test]
fn each_front_speaks_its_own_event_and_its_own_answer() {
    let answers = r#"case $body in
        *'"elb"'*multiValueHeaders*) respond '{"statusCode":201,"statusDescription":"201 Made","multiValueHeaders":{"Set-Cookie":["a=1","b=2"]},"body":"hi"}' ;;
        *'"elb"'*) respond '{"statusCode":201,"statusDescription":"201 Made","headers":{"Set-Cookie":"a=1"},"body":"hi"}' ;;
        *'"version":"2.0"'*) respond '{"statusCode":201,"cookies":["a=1","b=2"],"body":"aGk=","isBase64Encoded":true}' ;;
        *) respond '{"statusCode":201,"multiValueHeaders":{"Set-Cookie":["a=1","b=2"]},"body":"aGk=","isBase64Encoded":true}' ;;
    esac"#;
    let request = b"POST /a%20b?x=%31&x=2 HTTP/1.1\r\nHost: shop.example\r\nX-Case: y\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    for (front, cookies, phrase, path, body) in [
        (Front::V1, 2, "Created", "/path", json!("b2s=")),
        (Front::V2, 2, "Created", "/rawPath", json!("ok")),
        (Front::Url, 2, "Created", "/rawPath", json!("ok")),
        (Front::Alb, 1, "Made", "/path", json!("ok")),
        (Front::AlbMulti, 2, "Made", "/path", json!("ok")),
    ] {
        let world = World::new(&format!("while next; do echo \"event: $body\"; {answers}; done"));
        let (head, sent) = Served::with(&world, behind(front)).ask(request);
        assert!(head.starts_with(&format!("HTTP/1.1 201 {phrase}\r\n")), "{front:?}: {head}");
        assert_eq!(head.matches("Set-Cookie: ").count(), cookies, "{front:?}: {head}");
        assert_eq!(sent, b"hi", "{front:?}");
        let log = world.log();
        let event = log.lines().find_map(|line| line.strip_prefix("event: ")).unwrap();
        let event: Value = serde_json::from_str(event).unwrap();
        let expected = if front == Front::V2 { "/a b" } else { "/a%20b" };
        assert_eq!((event.pointer(path), &event["body"]), (Some(&json!(expected)), &body), "{front:?}");
    }
}

#[test]
fn a_malformed_answer_is_a_502_in_the_fronts_words() {
    for (front, answer, said, why) in [
        (Front::V1, r#""hi""#, r#"{"message":"Internal server error"}"#, "not an object"),
        (Front::V2, "<html>", r#"{"message":"Internal Server Error"}"#, "not JSON"),
        (Front::Url, r#"{"statusCode":200,"body":1}"#, "Internal Server Error", "`body`"),
        (Front::Alb, r#"{"statusCode":200,"multiValueHeaders":{}}"#, "502 Bad Gateway", "reads `headers`"),
        (Front::AlbMulti, r#"{"statusCode":200,"headers":{}}"#, "502 Bad Gateway", "reads `multiValueHeaders`"),
    ] {
        let world = World::new(&format!("while next; do respond '{answer}'; done"));
        let (head, body) = Served::with(&world, behind(front)).get("/");
        assert!(head.starts_with("HTTP/1.1 502 "), "{front:?}: {head}");
        assert!(String::from_utf8(body).unwrap().contains(said), "{front:?}");
        assert!(world.log().contains(why), "{front:?}: {}", world.log());
    }
}

#[test]
fn a_load_balancer_takes_a_megabyte_either_way() {
    let world = World::new(
        r#"while next; do
    case $body in
        *large*) respond "{\"statusCode\":200,\"body\":\"$(head -c 1048576 /dev/zero | tr '\0' x)\"}" ;;
        *) respond '{"statusCode":200,"body":"ok"}' ;;
    esac
done"#,
    );
    let served = Served::with(&world, behind(Front::Alb));
    let post = |size: usize| {
        let mut request =
            format!("POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n").into_bytes();
        request.resize(request.len() + size, b'x');
        served.ask(&request).0
    };
    assert!(post(1_048_576).starts_with("HTTP/1.1 200 "));
    assert!(post(1_048_577).starts_with("HTTP/1.1 413 "));
    assert!(served.get("/large").0.starts_with("HTTP/1.1 502 "));
    assert!(world.log().contains("this front takes 1048576"), "{}", world.log());
}

#[test]
fn every_kind_of_death_costs_its_own_request_only() {
    let mut world = World::new(
        r#"[ -e /tmp/once ] || { touch /tmp/once; exit 4; }
while next; do
    case $body in
        *'/exit0'*) exit 0 ;;
        *'/exit'*) exit 3 ;;
        *'/kill'*) kill -9 $$ ;;
        *'/segv'*) kill -SEGV $$ ;;
        *'/stop'*) kill -STOP $$ ;;
        *'/loop'*) while :; do :; done ;;
        *'/memory'*) head -c 400m /dev/zero | tail >/dev/null ;;
        *'/after'*) respond '"last"'; exit 1 ;;
    esac
    respond '"fine"'
done"#,
    );
    world.function.timeout = Duration::from_secs(2);
    world.function.memory_mb = 128;
    let served = Served::new(&world);
    assert_eq!(served.get("/").1, b"fine", "the init that exited is tried again");
    for path in ["/exit0", "/exit", "/kill", "/segv", "/stop", "/loop", "/memory"] {
        let (head, body) = served.get(path);
        assert!(head.starts_with("HTTP/1.1 502 "), "{path}: {head}");
        assert_eq!(body, br#"{"message":"Internal Server Error"}"#);
        assert_eq!(served.get("/").1, b"fine", "after {path}");
    }
    assert_eq!(served.get("/after").1, b"last");
    assert_eq!(served.get("/").1, b"fine");
}

#[test]
fn a_changed_function_gets_a_fresh_environment() {
    let world = World::new("n=0; while next; do n=$((n + 1)); respond \"\\\"$n $(cat index.php)\\\"\"; done");
    let index = world.function.task.join("index.php");
    fs_err::write(&index, "one").unwrap();
    let served = Served::with(&world, Serving { reload: Reload::OnChange, ..Serving::default() });
    assert_eq!(served.get("/").1, b"1 one");
    assert_eq!(served.get("/").1, b"2 one");
    fs_err::write(&index, "two, longer").unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        thread::sleep(Duration::from_millis(200));
        match served.get("/").1 {
            answer if answer.starts_with(b"1 ") || Instant::now() > end => break answer,
            _ => {}
        }
    };
    assert_eq!(answer, b"1 two, longer");
    assert!(world.log().contains("index.php has changed: a fresh execution environment"), "{}", world.log());
}

#[test]
fn without_reload_the_environment_stays() {
    let world = World::new("n=0; while next; do n=$((n + 1)); respond $n; done");
    let served = Served::new(&world);
    assert_eq!(served.get("/").1, b"1");
    fs_err::write(world.function.task.join("index.php"), "new").unwrap();
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(served.get("/").1, b"2");
}

#[test]
fn the_page_tells_what_was_invoked_and_the_function_never_sees_it() {
    let world = World::new(
        "while next; do echo \"saw $body\"; case $body in *'/bad'*) respond '<';; *) respond '{\"statusCode\":204}';; esac; done",
    );
    let served = Served::with(&world, Serving { history: Some(Arc::default()), ..Serving::default() });
    let (head, html) = served.get("/__phplayer");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/html"), "{head}");
    assert!(String::from_utf8(html).unwrap().starts_with("<!doctype html>"));
    served.get("/shop?page=1");
    served.get("/bad");
    let json = |path: &str| serde_json::from_slice::<Value>(&served.get(path).1).unwrap();
    let state = json("/__phplayer/state.json");
    let invocations = state["invocations"].as_array().unwrap();
    assert_eq!(invocations.len(), 2, "{state}");
    let (bad, good) = (&invocations[0]["end"], &invocations[1]["end"]);
    assert_eq!((&bad["status"], &bad["malformed"]), (&json!(502), &json!("the response is not JSON")));
    assert_eq!((&good["status"], &good["error"]), (&json!(204), &Value::Null));
    assert!(good["initMs"].as_f64().unwrap() > 0.0 && good["memoryMb"].as_u64().unwrap() > 0, "{good}");
    assert_eq!(invocations[1]["target"], "/shop?page=1");
    let details = json("/__phplayer/invocations/1.json");
    let lines: Vec<&str> = details["log"]["lines"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(lines[0].starts_with("INIT_START") && lines.iter().any(|line| line.starts_with("REPORT")), "{lines:?}");
    assert!(details["event"]["text"].as_str().unwrap().contains("/shop"));
    assert_eq!(details["response"]["text"], r#"{"statusCode":204}"#);
    assert!(!world.log().contains("__phplayer"), "{}", world.log());
    drop(served);
    assert_eq!(Served::new(&World::new(ECHO)).get("/__phplayer").0.lines().next(), Some("HTTP/1.1 200 OK"), "no page");
}

#[test]
fn a_front_that_cannot_stream_is_an_input_error() {
    let failure = command(&["serve", "--handler", "x", "--stream", "--event", "alb"]).unwrap_err();
    let help = failure.report.help().map(|help| help.to_string()).unwrap_or_default();
    assert_eq!(failure.kind, phplayer::failure::Kind::Input);
    assert!(failure.report.to_string().contains("Application Load Balancer"), "{}", failure.report);
    assert!(help.contains("--event url"), "{help}");
}

#[test]
fn examples_and_fronts_reach_the_function() {
    let world =
        World::new("while next; do case $body in *aws:sqs*|*targetGroupArn*) respond 1;; *) exit 1;; esac; done");
    let layer = world.function.layers[0].to_str().unwrap();
    let task = world.function.task.to_str().unwrap();
    let invoke = |words: &[&str]| {
        command(&[&["invoke", "--handler", "x", "--layer", layer, "--task", task, "--format", "json"], words].concat())
    };
    assert_eq!(invoke(&["--example", "sqs"]).unwrap(), phplayer::failure::Outcome::Done);
    assert_eq!(invoke(&["--http", "GET /", "--event", "alb"]).unwrap(), phplayer::failure::Outcome::Done);
    assert_eq!(invoke(&["--http", "GET /"]).unwrap(), phplayer::failure::Outcome::Objected);
}

/// A `phplayer serve` of this world in a process of its own; interrupted by the guard.
struct Program {
    child: std::process::Child,
    served: Served,
}

impl Program {
    fn new(world: &World, words: &[&str]) -> Self {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_phplayer"));
        command.args(["serve", "--handler", "x", "--port", "0", "--no-progress", "--layer"]);
        command.arg(&world.function.layers[0]).arg("--task").arg(&world.function.task).args(words);
        command.env("TMPDIR", world.home.path()).stderr(std::process::Stdio::piped());
        let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.by_ref().map_while(Result::ok).find(|line| line.contains("http://127.0.0.1:")).unwrap();
        // The pipe must not fill up.
        thread::spawn(move || lines.for_each(drop));
        let address = said.split("http://").nth(1).unwrap().trim().parse().unwrap();
        Self { child, served: Served { address, stop: Stop::default(), thread: None } }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let kill = format!("kill -INT {}", self.child.id());
        let _ = std::process::Command::new("bash").args(["-c", &kill]).status();
        let _ = self.child.wait();
    }
}

#[test]
fn serve_shows_its_page_unless_told_not_to() {
    let world = World::new("while next; do respond '\"told by PHP\"'; done");
    for (words, shown) in [(&[][..], true), (&["--no-page", "--no-reload", "--event", "url", "--stream"][..], false)] {
        let program = Program::new(&world, words);
        let page = String::from_utf8(program.served.get("/__phplayer").1).unwrap();
        assert_eq!(page.contains("<!doctype html>"), shown, "{page}");
        assert_eq!(page.contains("told by PHP"), !shown, "{page}");
    }
}
