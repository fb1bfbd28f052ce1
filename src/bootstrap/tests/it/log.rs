//! What stands in the log, and to which invocation it belongs.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lambda::{Function, Lambda};

const SCRIPT: &str = r#"<?php
    error_log('from error_log');
    fwrite(fopen('php://stderr', 'w'), "from stderr\n");
    fwrite(fopen('php://stderr', 'w'), '{"level":"debug","message":"a record of the application"}' . "\n");
    trigger_error('from trigger_error', E_USER_WARNING);
    if ($_SERVER['REQUEST_URI'] === '/throw') { throw new Exception("thrown\nin two lines"); }
    echo 'fine';"#;

fn get(path: &str) -> Value {
    json!({"version": "2.0", "rawPath": path, "requestContext": {"http": {"method": "GET"}}})
}

/// The log, once all that is `said` is in it: php-fpm hands a worker's stderr on by itself.
fn log(lambda: &Lambda, said: &[&str]) -> String {
    for _ in 0..1000 {
        if said.iter().all(|text| lambda.log().contains(text)) {
            return lambda.log();
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("not all of {said:?} is in {}", lambda.log());
}

#[test]
fn every_line_has_its_invocations_id() {
    let mut lambda = Lambda::start(&Function { files: &[("index.php", SCRIPT)], handler: "index.php", env: &[] });
    lambda.invoke(&get("/"));
    let first = log(&lambda, &["a record of the application", "from error_log"]);
    for said in ["from error_log", "from stderr", "from trigger_error"] {
        let line = first.lines().find(|line| line.contains(said)).unwrap_or_else(|| panic!("{said}: {first}"));
        assert!(line.starts_with("request-1\t"), "{line}");
    }
    assert!(first.lines().any(|line| line == r#"{"level":"debug","message":"a record of the application"}"#));
    lambda.invoke(&get("/throw"));
    let second = log(&lambda, &["in two lines"]);
    assert!(second.lines().any(|line| line.starts_with("request-2\tin two lines")), "{second}");
}

#[test]
fn as_json_every_line_is_a_record() {
    let env = [("AWS_LAMBDA_LOG_FORMAT", "JSON")];
    let mut lambda = Lambda::start(&Function { files: &[("index.php", SCRIPT)], handler: "index.php", env: &env });
    lambda.invoke(&get("/throw"));
    let text = log(&lambda, &["in two lines", "from stderr", "a record of the application"]);
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let of = |said: &str| {
        records.iter().find(|record| record["message"].as_str().is_some_and(|message| message.contains(said))).unwrap()
    };
    for (said, level) in [("from error_log", "INFO"), ("from trigger_error", "WARN"), ("thrown\nin two lines", "ERROR")]
    {
        let record = of(said);
        assert_eq!((&record["level"], &record["requestId"]), (&json!(level), &json!("request-1")), "{said}");
        assert!(record["timestamp"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(of("a record of the application")["level"], "debug", "it is passed on as it is");
}

#[test]
fn as_json_an_error_is_a_record_with_its_parts_and_lesser_levels_are_left_out() {
    let script = "<?php return function ($event) { error_log('too little'); throw new DomainException('thrown'); };";
    let env = [("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("AWS_LAMBDA_LOG_LEVEL", "ERROR"), ("PHPLAYER_MODE", "function")];
    let mut lambda = Lambda::start(&Function { files: &[("index.php", script)], handler: "index.php", env: &env });
    lambda.invoke(&json!({}));
    let text = log(&lambda, &["thrown"]);
    let record: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&record["errorType"], &record["errorMessage"]), (&json!("DomainException"), &json!("thrown")));
    assert_eq!(record["stackTrace"][0], "/var/task/index.php:1");
    assert!(!text.contains("too little"), "{text}");
}
