//! Function mode and console mode with the command line's PHP.

use std::time::Duration;

use serde_json::{Value, json};

use crate::lambda::{Call, Function, Lambda};

fn function<'a>(files: &'a [(&'a str, &'a str)], handler: &'a str, env: &'a [(&'a str, &'a str)]) -> Lambda {
    Lambda::start(&Function { files, handler, env })
}

fn response(call: &Call) -> String {
    assert!(call.path.ends_with("/response"), "{} {}", call.path, String::from_utf8_lossy(&call.body));
    String::from_utf8(call.body.clone()).unwrap()
}

fn error(call: &Call) -> Value {
    assert!(call.path.ends_with("/error"), "{} {}", call.path, String::from_utf8_lossy(&call.body));
    call.json()
}

#[test]
fn the_tutorials_function_is_called() {
    let script =
        "<?\nfunction index($data)\n{\n  return json_encode(['name' => $data['name'], 'db' => $_ENV['DB']]);\n}\n";
    for file in ["index.php", "src/index.php"] {
        let mut lambda = function(&[(file, script)], "index", &[("DB", "here")]);
        assert_eq!(response(&lambda.invoke(&json!({"name": "Ä"}))), r#"{"name":"\u00c4","db":"here"}"#);
    }
}

#[test]
fn every_kind_of_handler_is_called() {
    let mode = [("PHPLAYER_MODE", "function")];
    let object = "<?php return new class { function handle($event, $context) { return [$event, $context->getAwsRequestId()]; } };";
    let invokable = "<?php return new class { function __invoke($event) { return $event; } };";
    for (script, handler, expected) in [
        (
            "<?php return fn($event, $context) => ['é/', 1.0, $context->getTraceId()];",
            "app.php",
            r#"["é/",1.0,"Root=1-2-3"]"#,
        ),
        (object, "app.php", r#"[{"a":1},"request-1"]"#),
        (invokable, "app.php", r#"{"a":1}"#),
        ("<?php return fn() => getenv('_X_AMZN_TRACE_ID');", "app", "Root=1-2-3"),
        ("<?php namespace App; function main() { echo 'to the log'; }", "app.App\\main", "null"),
        ("<?php class A { static function main($e) { return true; } }", "app.A::main", "true"),
    ] {
        let env = if handler.ends_with(".php") { &mode[..] } else { &[] };
        let mut lambda = function(&[("app.php", script)], handler, env);
        assert_eq!(response(&lambda.invoke(&json!({"a": 1}))), expected, "{script}");
    }
}

#[test]
fn whatever_a_function_does_costs_its_own_invocation_only() {
    let script = r#"<?php
        class Broken extends RuntimeException {}
        function index($event) {
            static $calls = 0;
            $calls++;
            switch ($event) {
                case 'throw': throw new Broken('thrown', 0, new Exception('cause'));
                case 'exit': exit(3);
                case 'kill': posix_kill(getmypid(), 9); break;
                case 'stop': posix_kill(getmypid(), 19); break;
                case 'loop': while (true) {}
                case 'busy': ini_set('pcre.jit', '0'); ini_set('pcre.backtrack_limit', '2000000000'); return preg_match('/^(a|aa|a)+$/', str_repeat('a', 60) . 'b');
                case 'memory': ini_set('memory_limit', '8M'); str_repeat('x', 9000000); break;
                case 'fatal': eval('class A {} class A {}'); break;
                case 'undefined': undefined(); break;
                case 'large': return str_repeat('x', 7000000);
                case 'binary': return ["\xff"];
                case 'wait': exec('sleep 1000'); break;
                case 'sleepers': return implode(' ', preg_grep('/^sleep/', array_map(fn($f) => @file_get_contents($f), glob('/proc/[0-9]*/comm'))));
                case 'grandchild': exec('sleep 30 >/dev/null 2>&1 &'); posix_kill(getmypid(), 9);
            }
            return $calls;
        }"#;
    let mut lambda = function(&[("index.php", script)], "index", &[]);
    assert_eq!(response(&lambda.invoke(&json!("fine"))), "1");
    assert_eq!(response(&lambda.invoke(&json!("fine"))), "2");
    for (event, kind, message, calls) in [
        ("throw", "Broken", "thrown", 4),
        ("undefined", "Error", "Call to undefined function undefined()", 6),
        ("binary", "JsonException", "Malformed UTF-8", 8),
        ("large", "Function.ResponseSizeTooLarge", "7000000 bytes", 10),
        ("exit", "Function.WorkerExit", "status 3", 1),
        ("kill", "Function.WorkerExit", "signal 9", 1),
        ("grandchild", "Function.WorkerExit", "signal 9", 1),
        ("stop", "Function.Timeout", "timeout", 1),
        ("loop", "Function.Timeout", "timeout", 1),
        ("wait", "Function.Timeout", "timeout", 1),
        ("busy", "Function.Timeout", "timeout", 1),
        ("memory", "FatalError", "Allowed memory size", 1),
        ("fatal", "FatalError", "Cannot declare class A", 1),
    ] {
        let timeout = Duration::from_secs(if kind == "Function.Timeout" { 2 } else { 60 });
        let call = lambda.invoke_bytes(json!(event).to_string().as_bytes(), timeout);
        let report = error(&call);
        assert_eq!(report["errorType"], kind, "{event}: {report}");
        assert!(report["errorMessage"].as_str().unwrap().contains(message), "{event}: {report}");
        assert!(call.header("Lambda-Runtime-Function-Error-Type").unwrap().starts_with("Function."));
        assert_eq!(response(&lambda.invoke(&json!("fine"))), calls.to_string(), "after {event}: {}", lambda.log());
    }
    assert!(lambda.log().contains("(terminated) in /var/task/index.php on line 12"), "{}", lambda.log());
    assert_eq!(response(&lambda.invoke(&json!("sleepers"))), "", "what a killed worker had started must not go on");
    let trace = error(&lambda.invoke(&json!("throw")))["stackTrace"].clone();
    assert_eq!(trace[0], "/var/task/index.php:7");
    assert!(trace.to_string().contains("caused by Exception: cause"), "{trace}");
}

#[test]
fn a_timeout_says_where_the_function_was() {
    for isolate in ["worker", "process"] {
        let script = "<?php\nfunction index($event)\n{\n    if ($event === 'fine') return 1;\n    while (true) {\n        usleep(1000);\n    }\n}\n";
        let env = [("PHPLAYER_ISOLATE", isolate), ("PHPLAYER_TIMEOUT_MARGIN_MS", "3000")];
        let mut lambda = function(&[("index.php", script)], "index", &env);
        let call = lambda.invoke_bytes(b"\"loop\"", Duration::from_secs(4));
        let report = error(&call);
        assert_eq!(report["errorType"], "Function.Timeout");
        let place = report["stackTrace"][0].as_str().unwrap_or_else(|| panic!("{report}"));
        assert!(["/var/task/index.php:5", "/var/task/index.php:6"].contains(&place), "{report}");
        assert_eq!(response(&lambda.invoke(&json!("fine"))), "1");
    }
}

#[test]
fn isolated_events_leave_nothing_behind() {
    let script = r#"<?php
        $GLOBALS['calls'] = 0;
        class Broken extends RuntimeException {}
        function index($event) {
            $calls = ++$GLOBALS['calls'];
            switch ($event) {
                case 'throw': throw new Broken('thrown');
                case 'exit': exit(3);
                case 'kill': posix_kill(getmypid(), 9); break;
                case 'stop': posix_kill(getmypid(), 19); break;
                case 'loop': while (true) {}
                case 'busy': ini_set('pcre.jit', '0'); ini_set('pcre.backtrack_limit', '2000000000'); return preg_match('/^(a|aa|a)+$/', str_repeat('a', 60) . 'b');
                case 'memory': ini_set('memory_limit', '8M'); str_repeat('x', 9000000); break;
                case 'random': return mt_rand();
                case 'parent': return posix_getppid();
                case 'late': register_shutdown_function(function () { sleep(30); }); return 'late';
            }
            return $calls;
        }"#;
    let mut lambda = function(&[("index.php", script)], "index", &[("PHPLAYER_ISOLATE", "process")]);
    let parent = response(&lambda.invoke(&json!("parent")));
    for (event, kind, message) in [
        ("throw", "Broken", "thrown"),
        ("exit", "Function.WorkerExit", "status 3"),
        ("kill", "Function.WorkerExit", "signal 9"),
        ("stop", "Function.Timeout", "timeout"),
        ("loop", "Function.Timeout", "timeout"),
        ("busy", "Function.Timeout", "timeout"),
        ("memory", "FatalError", "Allowed memory size"),
    ] {
        let timeout = Duration::from_secs(if kind == "Function.Timeout" { 2 } else { 60 });
        let report = error(&lambda.invoke_bytes(json!(event).to_string().as_bytes(), timeout));
        assert_eq!(report["errorType"], kind, "{event}: {report}");
        assert!(report["errorMessage"].as_str().unwrap().contains(message), "{event}: {report}");
        assert_eq!(response(&lambda.invoke(&json!("fine"))), "1", "after {event}: {}", lambda.log());
        assert_eq!(
            response(&lambda.invoke(&json!("parent"))),
            parent,
            "the handler is loaded once, also after {event}"
        );
    }
    let numbers: Vec<String> = (0..3).map(|_| response(&lambda.invoke(&json!("random")))).collect();
    assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2], "{numbers:?}");
    // An event that is answered and does not end must not hold up the next one beyond its own time.
    assert_eq!(response(&lambda.invoke(&json!("late"))), "late");
    let call = lambda.invoke_bytes(b"\"fine\"", Duration::from_secs(10));
    assert_eq!(response(&call), "1", "{}", lambda.log());
}

#[test]
fn without_pcntl_isolation_is_refused_with_the_way_out() {
    let ini = "disable_functions=pcntl_fork";
    let script = "<?php return fn() => 1;";
    let lambda = Lambda::start_on(
        &Function {
            files: &[("index.php", script)],
            handler: "index",
            env: &[("PHPLAYER_ISOLATE", "process"), ("PHP_INI_SCAN_DIR", "/opt/etc/conf.d")],
        },
        |opt| {
            std::fs::create_dir_all(opt.join("etc/conf.d")).unwrap();
            std::fs::write(opt.join("etc/conf.d/x.ini"), ini).unwrap();
        },
    );
    let (call, _) = lambda.init_error();
    assert_eq!(call.json()["errorMessage"], "PHPLAYER_ISOLATE=process needs the extension pcntl: add it to the recipe");
}

#[test]
fn a_handler_that_cannot_be_used_is_an_init_error() {
    for (script, message) in [
        ("<?php", "neither defines the function `index`"),
        ("<?php throw new Exception('at the start');", "at the start"),
        ("<?php function {", "syntax error"),
        ("<?php exit(7);", "ended with status 7"),
    ] {
        let (call, status) = function(&[("index.php", script)], "index", &[]).init_error();
        assert!(call.json()["errorMessage"].as_str().unwrap().contains(message), "{}", call.json());
        assert_eq!(status.code(), Some(1));
    }
    let (call, _) = function(&[("index.php", "")], "index", &[("PHPLAYER_MODE", "fpm")]).init_error();
    assert!(call.json()["errorMessage"].as_str().unwrap().contains("`http`, `function` or `console`"));
}

#[test]
fn a_command_runs_and_returns_its_output() {
    let script = r#"<?php
        fwrite(STDERR, "to stderr\n");
        if ($argv[1] === 'loop') { while (true) {} }
        echo implode('|', $argv), getenv('_X_AMZN_TRACE_ID');
        exit((int) ($argv[2] ?? 0));"#;
    let mut lambda = function(&[("bin/console.php", script)], "bin/console.php", &[("PHPLAYER_MODE", "console")]);
    let call = lambda.invoke(&json!({"cli": "migrate 0 --name='a b'"}));
    assert_eq!(
        call.json(),
        json!({"exitCode": 0, "output": "to stderr\n/var/task/bin/console.php|migrate|0|--name=a bRoot=1-2-3"})
    );
    let report = error(&lambda.invoke(&json!("fail 4")));
    assert_eq!(report["errorMessage"], "the command ended with status 4");
    let call = lambda.invoke_bytes(b"\"loop\"", Duration::from_secs(1));
    assert_eq!(error(&call)["errorType"], "Function.Timeout");
    assert_eq!(lambda.invoke(&json!("again")).json()["exitCode"], 0);
    assert!(lambda.log().contains("to stderr"));
}
