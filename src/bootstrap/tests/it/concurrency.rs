//! Several events at the same time, as managed instances have them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::lambda::{ACCEPTED, Function, Lambda};

const LIMIT: Duration = Duration::from_secs(60);

fn get(path: &str) -> Vec<u8> {
    json!({"version": "2.0", "rawPath": path, "requestContext": {"http": {"method": "GET"}}}).to_string().into_bytes()
}

#[test]
fn as_many_events_as_allowed_are_worked_on_together() {
    let script = "<?php if ($_SERVER['REQUEST_URI'] === '/slow') { sleep(3); } echo getmypid();";
    let env = [("AWS_LAMBDA_MAX_CONCURRENCY", "3")];
    let mut lambda = Lambda::start(&Function { files: &[("index.php", script)], handler: "index.php", env: &env });
    let started = Instant::now();
    let mut open: Vec<String> = (0..3).map(|_| lambda.hand_out(&get("/slow"), LIMIT)).collect();
    let mut workers = Vec::new();
    while !open.is_empty() {
        let waiting = lambda.call();
        if waiting.call.path.ends_with("/next") {
            // It stays unanswered: there are no more events.
            std::mem::forget(waiting);
            continue;
        }
        let call = waiting.reply(ACCEPTED);
        open.retain(|id| !call.path.contains(id.as_str()));
        workers.push(call.json()["body"].as_str().unwrap().to_owned());
    }
    assert!(started.elapsed() < Duration::from_secs(2 * 3), "{:?}", started.elapsed());
    workers.sort();
    workers.dedup();
    assert_eq!(workers.len(), 3, "each has a worker of its own");
}

#[test]
fn what_one_event_does_costs_the_others_nothing() {
    let script = r#"<?php return function ($event) {
        if ($event === 'kill') { posix_kill(getmypid(), 9); }
        usleep(400000);
        return 'fine';
    };"#;
    let env = [("AWS_LAMBDA_MAX_CONCURRENCY", "2"), ("PHPLAYER_MODE", "function")];
    let mut lambda = Lambda::start(&Function { files: &[("index.php", script)], handler: "index.php", env: &env });
    let slow = lambda.hand_out(b"\"slow\"", LIMIT);
    let kill = lambda.hand_out(b"\"kill\"", LIMIT);
    let (mut answered, mut failed) = (false, false);
    while !(answered && failed) {
        let waiting = lambda.call();
        if waiting.call.path.ends_with("/next") {
            std::mem::forget(waiting);
            continue;
        }
        let call = waiting.reply(ACCEPTED);
        if call.path.contains(&slow) {
            assert_eq!(String::from_utf8_lossy(&call.body), "fine");
            answered = true;
        } else {
            assert!(call.path.contains(&kill) && call.path.ends_with("/error"), "{call:?}");
            failed = true;
        }
    }
}
