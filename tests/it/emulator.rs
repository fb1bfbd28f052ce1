//! The emulator with real sandboxes: small runtimes written in bash, since every Linux that runs the tests has it.
#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

mod layers;
mod lifecycle;
mod serving;
mod streaming;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use fs_err as fs;
use miette::Diagnostic;
use phplayer::commands::{invoke, serve};
use phplayer::console::{Console, Talk};
use phplayer::emulator::gateway::{Gateway, Serving};
use phplayer::emulator::{
    EmulatorError, Exit, Function, Initialization, Instance, Invocation, InvokeOptions, LogSink, Outcome,
    PAYLOAD_LIMIT, Stop,
};
use phplayer::failure::{self, Failure, Kind};
use serde_json::Value;
use zip::write::SimpleFileOptions;

/// A Runtime API client in bash: `call METHOD PATH BODY HEADERS` sets `status`, `id`, `deadline` and `body`.
const CLIENT: &str = r#"#!/bin/bash
call() { request "$1" "/2018-06-01/runtime/$2" "$3" "$4"; }
request() {
    exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API%:*}/${AWS_LAMBDA_RUNTIME_API#*:}"
    printf '%s %s HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s' \
        "$1" "$2" "${#3}" "$4" "$3" >&3
    answer
}
answer() {
    local line
    read -r _ status _ <&3
    while read -r line <&3 && line=${line%$'\r'} && [ -n "$line" ]; do
        case $line in
            Lambda-Runtime-Aws-Request-Id:*) id=${line#*: } ;;
            Lambda-Runtime-Deadline-Ms:*) deadline=${line#*: } ;;
            Lambda-Extension-Identifier:*) extension=${line#*: } ;;
        esac
    done
    body=$(cat <&3)
    exec 3>&-
}
next() { call GET invocation/next ''; }
respond() { call POST "invocation/$id/response" "$1"; }
"#;

const ECHO: &str = "while next; do respond \"$body\"; done";

/// A function of one runtime layer, its folders, and what it has logged.
struct World {
    home: tempfile::TempDir,
    function: Function,
    log: Arc<Mutex<Vec<String>>>,
}

impl World {
    /// `script` follows the client's functions.
    fn new(script: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let task = home.path().join("task");
        fs::create_dir(&task).unwrap();
        let layer = home.path().join("runtime.zip");
        zip(&layer, &[("bootstrap", 0o755, &format!("{CLIENT}{script}\n"))]);
        let function = Function {
            layers: vec![layer],
            task,
            handler: "index.php".into(),
            timeout: Duration::from_secs(20),
            memory_mb: 256,
            name: "hello".into(),
            region: "eu-west-1".into(),
            initialization: Initialization::OnDemand,
            env: BTreeMap::new(),
        };
        Self { home, function, log: Arc::default() }
    }

    fn sink(&self) -> LogSink {
        let log = Arc::clone(&self.log);
        Arc::new(move |line: &str| log.lock().unwrap().push(line.to_owned()))
    }

    fn start(&self) -> Instance {
        self.try_start().unwrap()
    }

    fn try_start(&self) -> Result<Instance, EmulatorError> {
        Instance::start(&self.function, self.sink(), Stop::default())
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

fn zip(path: &Path, files: &[(&str, u32, &str)]) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, mode, text) in files {
        zip.start_file(*name, SimpleFileOptions::DEFAULT.unix_permissions(*mode)).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}

fn send(instance: &mut Instance, event: &str) -> Invocation {
    instance.invoke(event.as_bytes(), &InvokeOptions::default()).unwrap()
}

fn text(invocation: &Invocation) -> String {
    String::from_utf8(invocation.payload()).unwrap()
}

#[test]
fn an_event_goes_in_and_its_response_comes_out() {
    let world = World::new("echo starting\nwhile next; do echo \"got $body\" >&2; respond \"$body\"; done");
    let mut instance = world.start();
    let first = send(&mut instance, r#"{"a": [1, "ü"]}"#);
    assert_eq!(text(&first), r#"{"a": [1, "ü"]}"#);
    assert!(first.init.is_some() && first.max_memory_mb > Some(0));
    assert!(u128::from(first.billed_ms) >= first.duration.as_millis());
    let second = send(&mut instance, "null");
    assert_eq!((text(&second).as_str(), second.init), ("null", None));
    let log = world.log();
    let lines: Vec<&str> = log.lines().map(|line| line.split([' ', '\t']).next().unwrap()).collect();
    assert_eq!(lines, ["INIT_START", "starting", "START", "got", "END", "REPORT", "START", "got", "END", "REPORT"]);
    let report = log.lines().find(|line| line.starts_with("REPORT")).unwrap();
    for part in ["Duration: ", "Billed Duration: ", "Memory Size: 256 MB", "Max Memory Used: ", "Init Duration: "] {
        assert!(report.contains(part), "{part} in {report}");
    }
}

#[test]
fn the_runtime_keeps_its_state_between_events() {
    let world = World::new("n=0; while next; do n=$((n + 1)); respond $n; done");
    let mut instance = world.start();
    assert_eq!([1, 2, 3].map(|_| text(&send(&mut instance, "{}"))), ["1", "2", "3"]);
}

#[test]
fn the_environment_is_lambdas_and_nothing_else() {
    let mut world = World::new(&format!("tr '\\0' '\\n' </proc/$$/environ\n{ECHO}"));
    world.function.env = BTreeMap::from([("DB_HOST".into(), "127.0.0.1".into()), ("TZ".into(), ":UTC+1".into())]);
    world.start();
    let log = world.log();
    let mut found: BTreeMap<&str, &str> = log.lines().filter_map(|line| line.split_once('=')).collect();
    for changing in ["AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_METADATA_API", "AWS_LAMBDA_METADATA_TOKEN"] {
        assert!(found.remove(changing).is_some(), "{changing}");
    }
    let stream = found.remove("AWS_LAMBDA_LOG_STREAM_NAME").unwrap();
    assert!(stream.contains("/[$LATEST]") && stream.len() == 11 + 9 + 32, "{stream}");
    let expected = BTreeMap::from([
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_NAME", "hello"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/hello"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"),
        ("AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1:2000"),
        ("DB_HOST", "127.0.0.1"),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
        ("LANG", "en_US.UTF-8"),
        (
            "LD_LIBRARY_PATH",
            "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
        ),
        ("PATH", "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
        // bubblewrap's own: it says where it has changed to.
        ("PWD", "/var/task"),
        ("TZ", ":UTC+1"),
        ("_AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1"),
        ("_AWS_XRAY_DAEMON_PORT", "2000"),
        ("_HANDLER", "index.php"),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn only_tmp_can_be_written_and_nothing_of_this_machine_is_seen() {
    let script = r#"
pwd; id -u
for place in / /opt /var/task /usr /etc /dev /dev/shm /var /tmp; do
    if : 2>/dev/null >"$place/new"; then echo "$place is writable"; fi
done
ls -d /home /root /sys /var/lib /etc/shadow /etc/ssl/private 2>/dev/null
ls /tmp
test -s /etc/pki/tls/certs/ca-bundle.crt && echo certificates
echo >/dev/null && head -c 1 /dev/urandom >/dev/null && echo devices
"#;
    let world = World::new(&format!("{script}{ECHO}"));
    world.start();
    let log = world.log();
    let lines: Vec<&str> = log.lines().skip(1).collect();
    let certificates = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
    let mut expected = vec!["/var/task", "993", "/tmp is writable", "new"];
    expected.extend(certificates.iter().any(|path| Path::new(path).is_file()).then_some("certificates"));
    expected.push("devices");
    assert_eq!(lines, expected);
}

#[test]
fn layers_are_merged_and_the_functions_bootstrap_goes_first() {
    let mut world = World::new("echo wrong");
    let second = world.home.path().join("second.zip");
    zip(&second, &[("bootstrap", 0o755, &format!("{CLIENT}cat /opt/who\n{ECHO}")), ("who", 0o644, "second layer\n")]);
    world.function.layers.push(second);
    world.start();
    assert!(world.log().ends_with("second layer"), "{}", world.log());
    let own = world.function.task.join("bootstrap");
    fs::write(&own, format!("{CLIENT}echo own\n{ECHO}")).unwrap();
    fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.start();
    assert!(world.log().ends_with("own"), "{}", world.log());
}

#[test]
fn a_runtime_that_exits_fails_its_event_only() {
    let world =
        World::new("while next; do [ \"$body\" = 3 ] && exit 3; [ \"$body\" = 9 ] && kill -9 $$; respond ok; done");
    let mut instance = world.start();
    let dead = send(&mut instance, "3");
    assert_eq!(dead.outcome, Outcome::Exited(Exit::Status(3)));
    let expected = format!(
        r#"{{"errorType":"Runtime.ExitError","errorMessage":"RequestId: {} Error: Runtime exited with error: exit status 3"}}"#,
        dead.request_id
    );
    assert_eq!((text(&dead), dead.outcome.function_error()), (expected, Some("Unhandled")));
    assert_eq!(text(&send(&mut instance, "1")), "ok");
    let killed = send(&mut instance, "9");
    assert!(text(&killed).contains("Runtime exited with error: signal: killed"), "{}", text(&killed));
    assert_eq!(text(&send(&mut instance, "1")), "ok");
    assert!(world.log().contains("Status: error\tError Type: Runtime.ExitError"), "{}", world.log());
}

#[test]
fn a_failed_init_is_tried_again_in_the_first_event_and_then_reported() {
    let body = r#"{"errorType":"Boom","errorMessage":"no","stackTrace":[]}"#;
    let script = format!(
        "echo trying\ncall POST init/error '{body}' $'Lambda-Runtime-Function-Error-Type: Runtime.Boom\\r\\n'\necho $status\nexit 1"
    );
    let world = World::new(&script);
    let mut instance = world.start();
    let failed = send(&mut instance, "{}");
    assert_eq!(failed.outcome, Outcome::Reported { error_type: "Runtime.Boom".into(), body: body.as_bytes().to_vec() });
    assert_eq!(text(&failed), body);
    let log = world.log();
    assert_eq!(log.matches("trying").count(), 2);
    assert!(log.contains("Phase: init\tStatus: error\tError Type: Runtime.Boom"), "{log}");
    assert!(log.contains("Phase: invoke\tStatus: error\tError Type: Runtime.Boom"), "{log}");
}

#[test]
fn a_reported_error_goes_through_as_it_is() {
    let world = World::new(
        r#"while next; do call POST "invocation/$id/error" '{"errorType":"E","x":1}' $'Lambda-Runtime-Function-Error-Type: Function.Mine\r\n'; echo $status; done"#,
    );
    let mut instance = world.start();
    let failed = send(&mut instance, "{}");
    assert_eq!(text(&failed), r#"{"errorType":"E","x":1}"#);
    assert_eq!(failed.outcome.error_type(), Some("Function.Mine"));
    assert!(world.log().lines().any(|line| line == "202"));
}

#[test]
fn a_timeout_kills_all_and_leaves_tmp() {
    let script = r#"
echo "tmp: $(ls /tmp)"
while next; do
    if [ "$body" = '"hang"' ]; then touch /tmp/left; sleep 1000 & sleep 1000; fi
    respond "$deadline"
done"#;
    let mut world = World::new(script);
    world.function.timeout = Duration::from_secs(1);
    let mut instance = world.start();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let deadline: u128 = text(&send(&mut instance, "1")).parse().unwrap();
    assert!((now + 900..now + 60_000).contains(&deadline), "{deadline} at {now}");
    let late = send(&mut instance, "\"hang\"");
    assert_eq!(late.outcome, Outcome::TimedOut { limit: Duration::from_secs(1) });
    let expected = format!(
        r#"{{"errorType":"Sandbox.Timeout","errorMessage":"RequestId: {} Error: Task timed out after 1.00 seconds"}}"#,
        late.request_id
    );
    assert_eq!(text(&late), expected);
    assert!(send(&mut instance, "1").outcome.error_type().is_none());
    let log = world.log();
    assert!(log.contains("tmp: \n") && log.contains("tmp: left"), "{log}");
    assert!(log.contains("Status: timeout"), "{log}");
}

#[test]
fn a_response_over_the_limit_is_refused_and_the_runtime_lives() {
    let script = r#"while next; do
    size=$body
    exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API%:*}/${AWS_LAMBDA_RUNTIME_API#*:}"
    printf 'POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n' $id $size >&3
    head -c $size /dev/zero | tr '\0' 1 >&3
    answer
    echo "$size: $status ${body%:*}"
done"#;
    let world = World::new(script);
    let mut instance = world.start();
    let fits = send(&mut instance, &PAYLOAD_LIMIT.to_string());
    assert!(matches!(fits.outcome, Outcome::Response(body) if body.len() as u64 == PAYLOAD_LIMIT));
    let large = send(&mut instance, &(PAYLOAD_LIMIT + 1).to_string());
    assert_eq!(
        text(&large),
        r#"{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}"#
    );
    assert!(send(&mut instance, "2").outcome.error_type().is_none());
    assert!(world.log().contains("6291557: 413 "), "{}", world.log());
}

#[test]
fn memory_over_the_functions_kills_it() {
    let mut world =
        World::new("while next; do [ \"$body\" = 1 ] && head -c 400m /dev/zero | tail >/dev/null; respond ok; done");
    world.function.memory_mb = 128;
    let mut instance = world.start();
    // `tail` holds its one long line until it ends, and waits for us meanwhile.
    let dead = send(&mut instance, "1");
    assert_eq!(dead.outcome, Outcome::OutOfMemory);
    assert!(dead.max_memory_mb > Some(128));
    assert_eq!(text(&send(&mut instance, "2")), "ok");
}

#[test]
fn a_runtime_that_dies_after_its_answer_costs_nothing() {
    let world = World::new("next; respond ok; exit 7");
    let mut instance = world.start();
    assert_eq!([1, 2].map(|_| text(&send(&mut instance, "{}"))), ["ok", "ok"]);
    assert!(world.log().contains("Runtime exited with error: exit status 7"), "{}", world.log());
}

#[test]
fn what_cannot_be_run_is_said() {
    let help =
        |error: EmulatorError| format!("{error}: {}", error.help().map(|help| help.to_string()).unwrap_or_default());
    let refused = |change: &dyn Fn(&mut World)| {
        let mut world = World::new(ECHO);
        change(&mut world);
        help(world.try_start().err().unwrap())
    };
    let missing = refused(&|world| world.function.layers = vec![PathBuf::from("no/such.zip")]);
    assert!(missing.contains("no/such.zip") && missing.contains("phplayer build"), "{missing}");
    let no_bootstrap = refused(&|world| world.function.layers.clear());
    assert!(no_bootstrap.contains("no bootstrap") && no_bootstrap.contains("runtime.zip"), "{no_bootstrap}");
    let no_task = refused(&|world| world.function.task = PathBuf::from("no/such/folder"));
    assert!(no_task.contains("no/such/folder") && no_task.contains("--task"), "{no_task}");
    let climbing = refused(&|world| zip(&world.function.layers[0], &[("../x", 0o644, "")]));
    assert!(climbing.contains("`../x` is refused"), "{climbing}");
    let reserved = refused(&|world| drop(world.function.env.insert("AWS_LAMBDA_RUNTIME_API".into(), "x".into())));
    assert!(reserved.contains("AWS_LAMBDA_RUNTIME_API"), "{reserved}");
}

#[test]
fn an_event_that_lambda_refuses_never_reaches_the_function() {
    let world = World::new(ECHO);
    let mut instance = world.start();
    let mut refused = |event: &[u8]| instance.invoke(event, &InvokeOptions::default()).unwrap_err();
    assert!(matches!(refused(b"hello"), EmulatorError::EventNotJson { .. }));
    assert!(matches!(refused(b"\"\xff\""), EmulatorError::EventNotUtf8 { .. }));
    let large = format!("\"{}\"", "x".repeat(PAYLOAD_LIMIT as usize));
    assert!(matches!(refused(large.as_bytes()), EmulatorError::EventTooLarge { .. }));
    assert!(!world.log().contains("START RequestId"));
    assert_eq!(text(&send(&mut instance, "1")), "1");
}

#[test]
fn a_bootstrap_that_cannot_be_executed_is_named() {
    let world = World::new(ECHO);
    zip(&world.function.layers[0], &[("bootstrap", 0o644, "#!/bin/bash\n")]);
    let failed = send(&mut world.start(), "{}");
    assert_eq!(failed.outcome.error_type(), Some("Runtime.InvalidEntrypoint"));
    assert!(
        text(&failed).contains("/opt/bootstrap") && text(&failed).contains("Permission denied"),
        "{}",
        text(&failed)
    );
}

#[test]
fn a_stop_ends_a_running_event() {
    let world = World::new("while next; do echo running; sleep 1000; done");
    let stop = Stop::default();
    let (heard, running) = mpsc::channel();
    let sink: LogSink = Arc::new(move |line: &str| {
        if line == "running" {
            heard.send(()).unwrap()
        }
    });
    let wish = stop.clone();
    thread::spawn(move || {
        running.recv().unwrap();
        wish.stop();
    });
    let mut instance = Instance::start(&world.function, sink, stop).unwrap();
    let stopped = instance.invoke(b"{}", &InvokeOptions::default());
    assert!(matches!(stopped, Err(EmulatorError::Interrupted)));
}

/// A gateway with its instance on a thread of its own, if not in a process of its own; stopped by the guard.
struct Served {
    address: SocketAddr,
    stop: Stop,
    thread: Option<thread::JoinHandle<()>>,
}

impl Served {
    fn new(world: &World) -> Self {
        Self::with(world, Serving::default())
    }

    fn with(world: &World, serving: Serving) -> Self {
        let gateway = Gateway::bind(0).unwrap();
        let (address, stop, sink, function) = (gateway.address, Stop::default(), world.sink(), world.function.clone());
        let sink = match &serving.history {
            Some(history) => history.recording(sink),
            None => sink,
        };
        let wish = stop.clone();
        let thread = thread::spawn(move || {
            let mut instance = Instance::start(&function, Arc::clone(&sink), wish.clone()).unwrap();
            gateway.run(&mut instance, &serving, &sink, &wish).unwrap();
        });
        Self { address, stop, thread: Some(thread) }
    }

    fn get(&self, path: &str) -> (String, Vec<u8>) {
        self.ask(format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n").as_bytes())
    }

    fn ask(&self, request: &[u8]) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        (String::from_utf8(answer[..head].to_vec()).unwrap(), answer[head + 4..].to_vec())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

#[test]
fn http_goes_through_byte_for_byte() {
    let answer = r#"{"statusCode":201,"headers":{"X-Shop":"yes"},"cookies":["a=1; Path=/","b=2"],"body":"AP8K","isBase64Encoded":true}"#;
    let world = World::new(&format!("while next; do echo \"event: $body\"; respond '{answer}'; done"));
    let served = Served::new(&world);
    let (head, body) = served.ask(
        b"POST /a%20b?x=%31&&y=[] HTTP/1.1\r\nHost: shop.example\r\nCookie: c=3; d=4\r\nContent-Type: image/png\r\nContent-Length: 3\r\nConnection: close\r\n\r\n\x00\xff\n",
    );
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    for line in ["X-Shop: yes", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2", "Content-Length: 3"] {
        assert!(head.lines().any(|given| given == line), "{line} in {head}");
    }
    assert_eq!(body, b"\x00\xff\n");
    let log = world.log();
    let event = log.lines().find_map(|line| line.strip_prefix("event: ")).unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["rawQueryString"], "x=%31&&y=[]");
    assert_eq!(event["rawPath"], "/a b");
    assert_eq!(event["cookies"], serde_json::json!(["c=3", "d=4"]));
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&"AP8K".into(), &true.into()));
    assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");
}

#[test]
fn a_dying_function_costs_one_502_and_clients_queue() {
    let world = World::new(
        "n=0; while next; do n=$((n + 1)); case $body in *'/die'*) exit 1;; esac; respond \"{\\\"n\\\":$n}\"; done",
    );
    let served = Served::new(&world);
    let ask = |path: &str| served.get(path);
    let (head, body) = ask("/die");
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert_eq!(body, br#"{"message":"Internal Server Error"}"#);
    let mut answers: Vec<Vec<u8>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| ask("/").1)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    answers.sort();
    assert_eq!(answers, [br#"{"n":1}"#, br#"{"n":2}"#, br#"{"n":3}"#, br#"{"n":4}"#]);
    assert!(world.log().contains("Runtime.ExitError"));
}

#[test]
fn a_body_too_large_for_lambda_is_refused_at_the_door() {
    let world = World::new(ECHO);
    let served = Served::new(&world);
    for size in [5_000_000, 11_000_000] {
        let mut request =
            format!("POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n").into_bytes();
        request.resize(request.len() + size, 0);
        let (head, body) = served.ask(&request);
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        assert_eq!(body, br#"{"message":"Request Entity Too Large"}"#);
    }
    assert!(served.ask(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").0.starts_with("HTTP/1.1 200 "));
}

#[derive(Debug, clap::Parser)]
enum Verb {
    Invoke(invoke::Args),
    Serve(serve::Args),
}

fn command(words: &[&str]) -> Result<failure::Outcome, Failure> {
    let console = Console::new(Talk::Quiet, false);
    match <Verb as clap::Parser>::try_parse_from([&["phplayer"], words].concat()).unwrap() {
        Verb::Invoke(args) => invoke::run(args, &console),
        Verb::Serve(args) => serve::run(args, &console),
    }
}

#[test]
fn invoke_ends_with_what_the_function_did() {
    let world = World::new("while next; do case $body in *bad*) exit 3;; esac; respond \"$body\"; done");
    let layer = world.function.layers[0].to_str().unwrap();
    let task = world.function.task.to_str().unwrap();
    let invoke = |event: &[&str]| {
        command(&[&["invoke", "--handler", "x", "--layer", layer, "--task", task, "--format", "json"], event].concat())
    };
    assert_eq!(invoke(&["{\"a\":1}"]).unwrap(), failure::Outcome::Done);
    assert_eq!(invoke(&["--http", "GET /bad"]).unwrap(), failure::Outcome::Objected);
    let event = world.home.path().join("event.json");
    fs::write(&event, "\"bad\"").unwrap();
    assert_eq!(invoke(&[event.to_str().unwrap()]).unwrap(), failure::Outcome::Objected);
}

#[test]
fn a_users_mistakes_are_input_errors_with_a_way_out() {
    let world = World::new(ECHO);
    let layer = world.function.layers[0].to_str().unwrap();
    let failed = |words: &[&str]| {
        let failure = command(words).unwrap_err();
        let help = failure.report.help().map(|help| help.to_string()).unwrap_or_default();
        (failure.kind, format!("{}: {help}", failure.report))
    };
    let check = |words: &[&str], parts: [&str; 2]| {
        let (kind, said) = failed(words);
        assert_eq!(kind, Kind::Input, "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} in {said}");
    };
    check(&["invoke", "--handler", "x", "--layer", "no.zip"], ["no.zip", "phplayer build"]);
    check(&["invoke", "no.json", "--handler", "x", "--layer", layer], ["`no.json` is neither", "inline JSON"]);
    check(&["invoke", "{'a'}", "--handler", "x", "--layer", layer], ["{'a'}", "inline JSON"]);
    check(&["invoke", "--http", "/x", "--handler", "x", "--layer", layer], ["`/x`", "GET /products"]);
    check(&["invoke", "--handler", "x", "--layer", layer, "--env", "NOT_SET_"], ["NOT_SET_", "--env NOT_SET_=VALUE"]);
    let taken = Gateway::bind(0).unwrap();
    let port = taken.address.port().to_string();
    check(&["serve", "--handler", "x", "--layer", layer, "--port", &port], ["in use", "--port 0"]);
    let unparsed = <Verb as clap::Parser>::try_parse_from(["phplayer", "invoke"]).unwrap_err().to_string();
    assert!(unparsed.contains("--handler <H>"), "{unparsed}");
}

/// The program itself, with a function that this world has.
fn program(world: &World) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_phplayer"));
    command.args(["invoke", "--handler", "x", "--layer"]).arg(&world.function.layers[0]);
    command.arg("--task").arg(&world.function.task).env("TMPDIR", world.home.path());
    command
}

#[test]
fn a_machine_without_bubblewrap_is_told_what_to_install() {
    let world = World::new(ECHO);
    let output = program(&world).env("PATH", "/none").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("apt-get install bubblewrap"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn ctrl_c_ends_the_function_and_leaves_nothing() {
    let world = World::new("while next; do echo running; sleep 1000; done");
    let mut child = program(&world).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "running"));
    let kill = std::process::Command::new("bash").args(["-c", &format!("kill -INT {}", child.id())]).status();
    assert!(kill.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // The log ends when its last writer has: all of the sandbox is gone.
    lines.for_each(drop);
    let left: Vec<_> = fs::read_dir(world.home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the layer and the function's folder: {left:?}");
}
