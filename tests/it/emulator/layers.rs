//! The emulator and the real runtime.zip: what one says, the other understands.

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use phplayer::emulator::front::Front;
use phplayer::emulator::gateway::{InvokeMode, Serving};
use phplayer::emulator::{Example, Initialization, Instance, Invocation, Stop};
use serde_json::Value;

use super::{Served, World, send, text};

/// A function of the built runtime with one PHP file.
fn world(handler: &str, php: &str) -> World {
    let mut world = World::new("");
    let out = std::env::var_os("PHPLAYER_TEST_OUT").expect("tests/run names the folder of the built layers");
    world.function.layers = vec![std::path::Path::new(&out).join("runtime.zip")];
    world.function.handler = handler.into();
    world.function.memory_mb = 512;
    fs_err::write(world.function.task.join("index.php"), php).unwrap();
    world
}

fn sent(instance: &mut Instance, example: Example) -> (Invocation, Value) {
    let invocation = send(instance, example.event());
    let answer = serde_json::from_str(&text(&invocation)).unwrap();
    (invocation, answer)
}

#[test]
#[ignore = "needs the layers that tests/run builds"]
fn the_runtime_knows_each_example_for_what_it_is() {
    let php = "<?php echo $_SERVER['REQUEST_METHOD'], ' ', $_SERVER['REQUEST_URI'], ' ', $_COOKIE['theme'] ?? '';";
    let web = world("index.php", php);
    let mut instance = web.start();
    for example in Example::value_variants() {
        let (invocation, answer) = sent(&mut instance, *example);
        let said = answer["body"].as_str().map(str::to_owned);
        let expected = match example {
            Example::ApiGatewayV1 => Some("GET /products/red%20shoes?page=2&tag=new&tag=sale dark"),
            Example::ApiGatewayV2 => Some("POST /products/red%20shoes?page=2&tag=new&tag=sale dark"),
            Example::FunctionUrl => Some("GET /products/red%20shoes?page=2&tag=new&tag=sale dark"),
            Example::Alb => Some("GET /products/red%20shoes?page=2&tag=sale dark"),
            Example::AlbMulti => Some("GET /products/red%20shoes?page=2&tag=new&tag=sale dark"),
            _ => None,
        };
        assert_eq!(said.as_deref(), expected, "{example:?}: {answer}");
        if expected.is_none() {
            assert_eq!(invocation.outcome.error_type(), Some("Function.InvalidEvent"), "{example:?}");
        }
    }
    let function = world("index", "<?php function index($event) { return ['got' => $event]; }");
    let mut instance = function.start();
    for example in Example::value_variants() {
        let (_, answer) = sent(&mut instance, *example);
        let event: Value = serde_json::from_str(example.event()).unwrap();
        assert_eq!(answer["got"]["Records"], event["Records"], "{example:?}");
    }
}

#[test]
#[ignore = "needs the layers that tests/run builds"]
fn php_streams_to_the_client() {
    let mut world = world(
        "index.php",
        "<?php http_response_code(201); echo 'a'; flush(); usleep(300000); echo 'b'; flush(); usleep(300000); echo 'c';",
    );
    world.function.env.insert("PHPLAYER_STREAM".into(), "1".into());
    let serving = Serving { front: Front::Url, mode: InvokeMode::ResponseStream, ..Serving::default() };
    let (head, body) = Served::with(&world, serving).get("/");
    assert!(head.starts_with("HTTP/1.1 201 ") && head.contains("Transfer-Encoding: chunked"), "{head}");
    assert_eq!(body, b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n");
    let (head, body) = Served::with(&world, Serving { front: Front::V2, ..Serving::default() }).get("/");
    assert!(head.starts_with("HTTP/1.1 201 ") && body == b"abc", "{head}");
}

#[test]
#[ignore = "needs the layers that tests/run builds"]
fn the_runtime_is_restored_and_ends_well() {
    let mut world = world("index.php", "<?php echo 'restored';");
    world.function.initialization = Initialization::SnapStart;
    world.function.env.insert("PHPLAYER_SHUTDOWN".into(), "1".into());
    let mut instance = Instance::start(&world.function, world.sink(), Stop::default()).unwrap();
    let first = send(&mut instance, Example::FunctionUrl.event());
    assert!(first.restore.is_some_and(|took| took < Duration::from_secs(5)), "{first:?}");
    assert!(text(&first).contains("restored"), "{}", text(&first));
    drop(instance);
    assert!(world.log().contains("SIGTERM"), "{}", world.log());
}

#[test]
#[ignore = "needs the layers that tests/run builds"]
fn whatever_php_does_the_next_request_is_served() {
    let mut world = world(
        "index.php",
        "<?php switch ($_SERVER['REQUEST_URI']) { case '/loop': while (true); case '/kill': posix_kill(getmypid(), 9);
            case '/memory': str_repeat('x', 1 << 40); case '/exit': exit(3); case '/fatal': nothing(); } echo 'fine';",
    );
    world.function.timeout = Duration::from_secs(3);
    let serving = Serving { history: Some(Arc::default()), ..Serving::default() };
    let served = Served::with(&world, serving);
    for (path, status) in [("/loop", "504"), ("/kill", "502"), ("/memory", "500"), ("/exit", "200"), ("/fatal", "500")]
    {
        let head = served.get(path).0;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        assert_eq!(served.get("/").1, b"fine", "after {path}");
    }
}
