//! The start and the end of an environment: snapshots, warming up, SIGTERM.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lambda::{ACCEPTED, Function, Lambda};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn get(path: &str) -> Value {
    json!({"version": "2.0", "rawPath": path, "requestContext": {"http": {"method": "GET"}}})
}

#[test]
fn php_is_up_before_the_snapshot_and_its_worker_new_after_it() {
    // Each process that has run the script is a line.
    let site = "<?php @mkdir('/tmp/processes'); touch('/tmp/processes/' . getmypid()); echo count(scandir('/tmp/processes')) - 2;";
    let function = "<?php file_put_contents('/tmp/loaded', getmypid() . \"\\n\", FILE_APPEND); return fn() => count(file('/tmp/loaded'));";
    for (script, handler) in [(site, "index.php"), (function, "index")] {
        let env = [("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start"), ("PHPLAYER_WARMUP", "/")];
        let mut lambda = Lambda::start(&Function { files: &[("index.php", script)], handler, env: &env });
        let restore = lambda.call();
        let (method, path) = (restore.call.method.as_str(), restore.call.path.as_str());
        assert_eq!((method, path), ("GET", "/2018-06-01/runtime/restore/next"));
        restore.reply(OK);
        for _ in 0..2 {
            let call = lambda.invoke(&get("/"));
            let answer = call.json();
            let processes =
                answer.get("body").and_then(Value::as_str).map_or_else(|| answer.to_string(), str::to_owned);
            assert_eq!(processes, "2", "one before the snapshot, one after it: {}", lambda.log());
        }
    }
}

#[test]
fn a_restore_that_fails_is_reported() {
    // The marker of the first time is still there after the snapshot.
    let script = "<?php if (!@mkdir('/tmp/loaded')) { throw new Exception('loaded twice'); } return fn() => 1;";
    let env = [("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")];
    let mut lambda = Lambda::start(&Function { files: &[("index.php", script)], handler: "index", env: &env });
    lambda.call().reply(OK);
    let call = lambda.call().reply(ACCEPTED);
    assert_eq!(call.path, "/2018-06-01/runtime/restore/error");
    assert_eq!(call.header("Lambda-Runtime-Function-Error-Type"), Some("Runtime.AfterRestoreError"));
    assert_eq!(call.json()["errorMessage"], "loaded twice");
    assert_eq!(lambda.end().code(), Some(1));
}

#[test]
fn the_application_is_compiled_before_the_first_event() {
    let script = "<?php $file = '/tmp/paths'; file_put_contents($file, $_SERVER['REQUEST_URI'] . \"\\n\", FILE_APPEND); echo file_get_contents($file);";
    let env = [("PHPLAYER_WARMUP", "/warm?x=1")];
    let mut lambda = Lambda::start(&Function { files: &[("index.php", script)], handler: "index.php", env: &env });
    assert_eq!(lambda.invoke(&get("/first")).json()["body"], "/warm?x=1\n/first\n");
}

#[test]
fn a_failing_warm_up_is_logged_and_the_events_come_all_the_same() {
    let script = "<?php if ($_SERVER['REQUEST_URI'] === '/warm') { posix_kill(getmypid(), 9); } echo 'fine';";
    let env = [("PHPLAYER_WARMUP", "/warm")];
    let mut lambda = Lambda::start(&Function { files: &[("index.php", script)], handler: "index.php", env: &env });
    assert_eq!(lambda.invoke(&get("/")).json()["body"], "fine");
    assert!(lambda.log().contains("PHPLAYER_WARMUP /warm: The PHP process died"), "{}", lambda.log());
}

#[test]
fn a_wrong_setting_is_an_init_error_with_the_choices() {
    let env = [("PHPLAYER_ISOLATE", "yes")];
    let (call, status) =
        Lambda::start(&Function { files: &[("index.php", "")], handler: "index.php", env: &env }).init_error();
    assert_eq!(call.json()["errorMessage"], "PHPLAYER_ISOLATE is `yes`; it can be `worker` or `process`");
    assert_eq!(call.header("Lambda-Runtime-Function-Error-Type"), Some("Runtime.BadSetting"));
    assert_eq!(status.code(), Some(1));
}

#[test]
fn sigterm_lets_php_end_well_where_it_was_asked_for() {
    let script = "<?php register_shutdown_function(fn() => error_log('flushed')); return fn() => 1;";
    let env = [("PHPLAYER_SHUTDOWN", "1")];
    let mut lambda = Lambda::start(&Function { files: &[("index.php", script)], handler: "index", env: &env });
    let register = lambda.call();
    assert_eq!(register.call.path, "/2020-01-01/extension/register");
    assert_eq!(
        (register.call.header("Lambda-Extension-Name"), register.call.json()),
        (Some("phplayer"), json!({"events": []}))
    );
    register.reply(b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: id-1\r\nContent-Length: 2\r\n\r\n{}");
    // The question of the extension and that for the first event come in any order, and stay unanswered.
    let mut paths: Vec<String> = Vec::new();
    let mut open = Vec::new();
    for _ in 0..2 {
        let waiting = lambda.call();
        paths.push(waiting.call.path.clone());
        open.push(waiting);
    }
    paths.sort();
    assert_eq!(paths, ["/2018-06-01/runtime/invocation/next", "/2020-01-01/extension/event/next"]);
    let bootstrap = lambda.bootstrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &bootstrap]).status().unwrap().success());
    for _ in 0..200 {
        if lambda.log().contains("flushed") {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(lambda.log().contains("flushed"), "{}", lambda.log());
    assert_eq!(lambda.end().code(), Some(0));
    drop(open);
}
