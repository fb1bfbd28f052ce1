//! Responses that come piece by piece, from the runtime to the client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use phplayer::emulator::front::Front;
use phplayer::emulator::gateway::{InvokeMode, Serving};
use phplayer::emulator::{InvokeOptions, Outcome, PAYLOAD_LIMIT, ResponseStream};

use super::{Served, World, send, text};

/// `begin TYPE`, `piece FORMAT` (of printf, so that `\0` is a NUL byte), `finish TRAILERS`.
const STREAM: &str = r#"
HTTP=application/vnd.awslambda.http-integration-response
begin() {
    exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API%:*}/${AWS_LAMBDA_RUNTIME_API#*:}"
    printf 'POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nConnection: close\r\nContent-Type: %s\r\n' $id $1 >&3
    printf 'Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n' >&3
    printf 'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n' >&3
}
piece() {
    printf "$1" >/tmp/piece
    printf '%x\r\n' $(stat -c %s /tmp/piece) >&3
    cat /tmp/piece >&3
    printf '\r\n' >&3
}
finish() { printf "0\r\n$1\r\n" >&3; answer; }
failure='Lambda-Runtime-Function-Error-Type: Function.Broken\r\nLambda-Runtime-Function-Error-Body: e30=\r\n'
"#;

fn world(script: &str) -> World {
    World::new(&format!("{STREAM}\n{script}"))
}

fn streaming(front: Front) -> Serving {
    Serving { front, mode: InvokeMode::ResponseStream, ..Serving::default() }
}

/// The lines and pieces of an answer as they arrive.
struct Incoming(BufReader<TcpStream>);

impl Incoming {
    fn ask(served: &Served, request: &str) -> Self {
        let mut stream = TcpStream::connect(served.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        Self(BufReader::new(stream))
    }

    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "{head}");
        }
        head
    }

    /// None where the connection ends without a last chunk.
    fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        if self.0.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.0.read_exact(&mut chunk).unwrap();
        chunk.truncate(size);
        Some(chunk)
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn pieces_reach_the_client_while_the_function_still_writes() {
    // The function goes on only when the client has got the first piece and says so.
    let world = world(
        r#"while next; do
    begin $HTTP
    piece '{"statusCode":201,"headers":{"Content-Type":"text/plain"},"cookies":["a=1","b=2"]}\0\0\0'
    piece '\0\0\0\0\0first'
    while [ ! -e /var/task/go ]; do sleep 0.02; done
    piece 'second'
    finish
done"#,
    );
    for front in [Front::Url, Front::V1] {
        let go = world.function.task.join("go");
        let _ = fs_err::remove_file(&go);
        let served = Served::with(&world, streaming(front));
        let mut incoming = Incoming::ask(&served, GET);
        let head = incoming.head();
        assert!(head.starts_with("HTTP/1.1 201 Created\r\n"), "{head}");
        for line in ["Content-Type: text/plain", "Set-Cookie: a=1", "Set-Cookie: b=2", "Transfer-Encoding: chunked"] {
            assert!(head.lines().any(|given| given == line), "{line} in {head}");
        }
        assert!(!head.contains("Content-Length"), "{head}");
        assert_eq!(incoming.chunk().unwrap(), b"first");
        fs_err::write(&go, "").unwrap();
        assert_eq!(incoming.chunk().unwrap(), b"second");
        assert_eq!(incoming.chunk().unwrap(), b"", "the end");
    }
}

#[test]
fn a_failure_on_the_way_cuts_the_answer() {
    let world = world(
        r#"while next; do
    begin $HTTP
    piece '{}\0\0\0\0\0\0\0\0half'
    case $body in
        *trailers*) finish "$failure" ;;
        *cut*) exec 3>&- ;;
        *die*) sleep 0.1; kill -9 $$ ;;
        *) finish ;;
    esac
done"#,
    );
    let served = Served::with(&world, streaming(Front::Url));
    for (path, error) in [
        ("/trailers", "Error Type: Function.Broken"),
        ("/cut", "Error Type: Runtime.TruncatedResponse"),
        ("/die", "Error Type: Runtime.TruncatedResponse"),
    ] {
        let mut incoming = Incoming::ask(&served, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(incoming.head().starts_with("HTTP/1.1 200 "));
        assert_eq!(incoming.chunk().unwrap(), b"half");
        assert_eq!(incoming.chunk(), None, "{path}: cut without its end");
        let mut whole = Incoming::ask(&served, GET);
        whole.head();
        assert_eq!((whole.chunk().unwrap(), whole.chunk().unwrap()), (b"half".to_vec(), b"".to_vec()), "{path}");
        assert!(world.log().contains(error), "{error} in {}", world.log());
    }
}

#[test]
fn before_the_first_byte_a_failure_is_a_502() {
    let world = world(
        r#"while next; do
    case $body in
        *error*) call POST "invocation/$id/error" '{"errorType":"E"}' ;;
        *trailers*) begin $HTTP; finish "$failure" ;;
        *unfinished*) begin $HTTP; piece '{"statusCode":200}\0\0\0\0'; finish ;;
        *wrong*) begin $HTTP; piece '{"statusCode":"x"}\0\0\0\0\0\0\0\0body'; finish ;;
        *die*) exit 1 ;;
        *plain*) respond '{"statusCode":202,"body":"plain"}' ;;
        *bare*) begin text/html; piece '<b>'; finish ;;
    esac
done"#,
    );
    let served = Served::with(&world, streaming(Front::Url));
    for path in ["/error", "/trailers", "/unfinished", "/wrong", "/die"] {
        let (head, body) = served.get(path);
        assert!(head.starts_with("HTTP/1.1 502 "), "{path}: {head}");
        assert_eq!(body, b"Internal Server Error");
    }
    let log = world.log();
    assert!(log.contains("not followed by eight NUL bytes"), "{log}");
    assert!(log.contains("`statusCode` is \"x\""), "{log}");
    let (head, body) = served.get("/plain");
    assert!(head.starts_with("HTTP/1.1 202 ") && body == b"plain", "what is not streamed is answered as ever: {head}");
    let (head, body) = served.get("/bare");
    assert!(head.contains("Content-Type: application/octet-stream"), "{head}");
    assert_eq!(body, b"3\r\n<b>\r\n0\r\n\r\n");
    drop(served);
    let served = Served::with(&world, streaming(Front::V1));
    assert!(served.get("/bare").0.starts_with("HTTP/1.1 502 "), "a REST API wants the prelude");
}

#[test]
fn who_does_not_stream_gets_the_whole() {
    let world = world(
        r#"while next; do
    begin $HTTP
    case $body in *fail*) finish "$failure"; continue ;; esac
    piece '{"statusCode":203,"multiValueHeaders":{"Link":["a","b"]}}\0\0\0\0\0'
    piece '\0\0\0one '
    piece 'two'
    case $body in *cut*) exec 3>&- ;; *) finish ;; esac
done"#,
    );
    for front in [Front::V1, Front::V2, Front::Url, Front::Alb, Front::AlbMulti] {
        let served = Served::with(&world, Serving { front, ..Serving::default() });
        let (head, body) = served.get("/");
        assert!(head.starts_with("HTTP/1.1 203 "), "{front:?}: {head}");
        assert!(head.contains("Link: a\r\nLink: b\r\n") && head.contains("Content-Length: 7"), "{front:?}: {head}");
        assert_eq!(body, b"one two");
        assert!(served.get("/fail").0.starts_with("HTTP/1.1 502 "));
        assert!(served.get("/cut").0.starts_with("HTTP/1.1 502 "));
    }
    assert!(world.log().contains("Runtime.TruncatedResponse"), "{}", world.log());
    let plain = send(&mut world.start(), "{}");
    assert!(text(&plain).ends_with("\0\0\0\0one two"), "the Invoke API tells what was posted: {}", text(&plain));
}

/// Counts what comes.
#[derive(Default)]
struct Counted {
    content_type: String,
    bytes: usize,
    pieces: usize,
}

impl ResponseStream for Counted {
    fn begin(&mut self, content_type: &str) {
        self.content_type = content_type.to_owned();
    }

    fn piece(&mut self, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        self.pieces += 1;
    }
}

#[test]
fn a_stream_may_be_larger_than_a_response_and_200_mb_at_most() {
    let world = world(
        r#"large() { printf '%x\r\n' $1 >&3; head -c $1 /dev/zero >&3; printf '\r\n' >&3; }
while next; do
    begin text/plain
    large $body
    finish
    echo "$body: $status"
done"#,
    );
    let mut instance = world.start();
    let stream = |instance: &mut phplayer::emulator::Instance, size: u64| {
        let mut counted = Counted::default();
        let options = InvokeOptions::default();
        let invocation = instance.invoke_streaming(size.to_string().as_bytes(), &options, &mut counted).unwrap();
        (invocation.outcome, counted)
    };
    let (outcome, counted) = stream(&mut instance, 2 * PAYLOAD_LIMIT);
    assert_eq!(outcome, Outcome::Streamed { size: 2 * PAYLOAD_LIMIT });
    assert_eq!((counted.content_type.as_str(), counted.bytes as u64), ("text/plain", 2 * PAYLOAD_LIMIT));
    assert!(counted.pieces > 10, "{}", counted.pieces);
    let (outcome, _) = stream(&mut instance, 209_715_201);
    assert!(matches!(outcome, Outcome::ResponseTooLarge { limit: 209_715_200, .. }), "{outcome:?}");
    let whole = send(&mut instance, &(PAYLOAD_LIMIT + 1).to_string());
    assert!(matches!(whole.outcome, Outcome::ResponseTooLarge { limit: PAYLOAD_LIMIT, .. }), "{:?}", whole.outcome);
    assert!(send(&mut instance, "5").outcome.error_type().is_none());
}

#[test]
fn an_endless_stream_ends_at_the_timeout() {
    let mut world =
        world("while next; do begin $HTTP; piece '{}\\0\\0\\0\\0\\0\\0\\0\\0'; while :; do piece 'x'; done; done");
    world.function.timeout = Duration::from_secs(1);
    let served = Served::with(&world, streaming(Front::Url));
    let started = Instant::now();
    let mut incoming = Incoming::ask(&served, GET);
    assert!(incoming.head().starts_with("HTTP/1.1 200 "));
    while incoming.chunk().is_some() {}
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert!(world.log().contains("Task timed out after 1.00 seconds"), "{}", world.log());
}

#[test]
fn http_1_0_and_head_have_no_chunks() {
    let world = world("while next; do begin $HTTP; piece '{}\\0\\0\\0\\0\\0\\0\\0\\0body'; finish; done");
    let served = Served::with(&world, streaming(Front::Url));
    let (head, body) = served.ask(b"GET / HTTP/1.0\r\n\r\n");
    assert!(!head.contains("chunked") && body == b"body", "{head}");
    let (head, body) = served.ask(b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty(), "{head}");
}
