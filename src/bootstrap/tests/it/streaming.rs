//! Answers that are sent while PHP makes them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::lambda::{ACCEPTED, Call, Function, Lambda};

const SCRIPT: &str = r#"<?php
    switch ($_SERVER['REQUEST_URI']) {
        case '/slow':
            setcookie('a', '1'); setcookie('b', '2');
            foreach ([1, 2, 3] as $part) { echo "part $part\n"; flush(); usleep(300000); }
            exit;
        case '/large': foreach (range(1, 200) as $part) { echo str_repeat('x', 50000); } exit;
        case '/binary': header('Content-Type: image/png'); exit("\x89PNG\x00\xff");
        case '/none': http_response_code(204); exit;
        case '/die': echo "begun\n"; flush(); usleep(50000); posix_kill(getmypid(), 9);
        case '/die-early': posix_kill(getmypid(), 9);
        case '/loop': echo "begun\n"; flush(); while (true) {}
    }
    echo 'fine';"#;

fn site(env: &[(&str, &str)]) -> Lambda {
    Lambda::start(&Function { files: &[("index.php", SCRIPT)], handler: "index.php", env })
}

fn url(path: &str) -> Value {
    at("abc.lambda-url.eu-west-1.on.aws", path)
}

fn at(domain: &str, path: &str) -> Value {
    json!({"version": "2.0", "rawPath": path, "rawQueryString": "",
        "requestContext": {"http": {"method": "GET"}, "domainName": domain}})
}

/// Head and body of a streamed answer.
fn parts(call: &Call) -> (Value, Vec<u8>) {
    assert_eq!(call.header("Lambda-Runtime-Function-Response-Mode"), Some("streaming"), "{call:?}");
    assert_eq!(call.header("Content-Type"), Some("application/vnd.awslambda.http-integration-response"));
    let end = call.body.windows(8).position(|window| window == [0; 8]).expect("eight NUL bytes");
    (serde_json::from_slice(&call.body[..end]).unwrap(), call.body[end + 8..].to_vec())
}

#[test]
fn what_php_flushes_is_sent_at_once() {
    let mut lambda = site(&[("PHPLAYER_STREAM", "1")]);
    let call = lambda.invoke(&url("/slow"));
    let (head, body) = parts(&call);
    assert_eq!((&head["statusCode"], &head["cookies"]), (&json!(200), &json!(["a=1", "b=2"])));
    assert_eq!(body, b"part 1\npart 2\npart 3\n");
    let prelude = call.body.len() - body.len();
    let times: Vec<_> = call.pieces.iter().filter(|(_, length)| *length > prelude).map(|(time, _)| *time).collect();
    assert_eq!(times.len(), 3, "{:?}", call.pieces);
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] > Duration::from_millis(200), "{:?}", pair[1] - pair[0]);
    }
    assert!(call.trailers.is_empty());
}

#[test]
fn a_stream_may_be_larger_than_a_response_and_of_any_bytes() {
    let mut lambda = site(&[("PHPLAYER_STREAM", "1")]);
    assert_eq!(parts(&lambda.invoke(&url("/large"))).1.len(), 10_000_000);
    assert_eq!(parts(&lambda.invoke(&url("/binary"))).1, b"\x89PNG\x00\xff");
    let (head, body) = parts(&lambda.invoke(&url("/none")));
    assert_eq!((&head["statusCode"], body.len()), (&json!(204), 0));
}

#[test]
fn a_stream_that_fails_half_way_says_so_in_its_trailers_and_the_next_event_works() {
    let mut lambda = site(&[("PHPLAYER_STREAM", "1")]);
    for (path, kind) in [("/die", "Function.WorkerExit"), ("/loop", "Function.Timeout")] {
        let call = lambda.invoke_bytes(url(path).to_string().as_bytes(), Duration::from_secs(4));
        assert!(parts(&call).1.starts_with(b"begun\n"), "{call:?}");
        assert_eq!(call.trailer("Lambda-Runtime-Function-Error-Type"), Some(kind));
        let body = call.trailer("Lambda-Runtime-Function-Error-Body").unwrap();
        assert!(!body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)));
        assert_eq!(parts(&lambda.invoke(&url("/"))).1, b"fine", "after {path}: {}", lambda.log());
    }
}

#[test]
fn before_the_first_byte_a_failure_is_an_answer_of_its_own() {
    let mut lambda = site(&[("PHPLAYER_STREAM", "1")]);
    let call = lambda.invoke(&url("/die-early"));
    let (head, body) = parts(&call);
    assert_eq!(head["statusCode"], 502);
    assert!(String::from_utf8_lossy(&body).contains("died"));
    assert!(call.trailers.is_empty());
}

#[test]
fn only_fronts_that_can_stream_get_a_stream() {
    let mut lambda = site(&[("PHPLAYER_STREAM", "1")]);
    let call = lambda.invoke(&at("abc.execute-api.eu-west-1.amazonaws.com", "/"));
    assert_eq!((call.header("Lambda-Runtime-Function-Response-Mode"), &call.json()["body"]), (None, &json!("fine")));
    let rest = json!({"httpMethod": "GET", "path": "/", "requestContext": {"stage": "prod"}});
    assert_eq!(parts(&lambda.invoke(&rest)).1, b"fine");
    let call = site(&[]).invoke(&url("/"));
    assert_eq!(call.json()["body"], "fine", "without PHPLAYER_STREAM nothing streams");
}

#[test]
fn a_client_that_goes_away_costs_nothing_but_its_stream() {
    let mut lambda = site(&[("PHPLAYER_STREAM", "1")]);
    lambda.hand_out(url("/slow").to_string().as_bytes(), Duration::from_secs(60));
    lambda.call().reply(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(parts(&lambda.invoke(&url("/"))).1, b"fine", "{}", lambda.log());
    assert!(lambda.log().contains("answered /response with 413"), "{}", lambda.log());
    let id = lambda.hand_out(url("/").to_string().as_bytes(), Duration::from_secs(60));
    let call = lambda.call().reply(ACCEPTED);
    assert!(call.path.contains(&id));
}
