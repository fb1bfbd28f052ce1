//! From init to the end: limits, SnapStart, extensions, a fresh environment.

use std::time::{Duration, Instant};

use phplayer::emulator::{Exit, Initialization, Outcome};

use super::{ECHO, World, send, text};

#[test]
fn an_init_of_more_than_ten_seconds_is_cut_and_repeated_in_the_first_event() {
    // The second start, within the event, has the function's timeout.
    let world = World::new(&format!("[ -e /tmp/again ] || {{ touch /tmp/again; sleep 1000; }}\n{ECHO}"));
    let started = Instant::now();
    let mut instance = world.start();
    let took = started.elapsed();
    assert!((Duration::from_secs(10)..Duration::from_secs(19)).contains(&took), "{took:?}");
    let log = world.log();
    assert!(log.contains("Phase: init\tStatus: timeout"), "{log}");
    let first = send(&mut instance, "7");
    assert_eq!((text(&first).as_str(), first.init), ("7", None), "a cut init is not reported as one");
}

#[test]
fn an_init_that_never_ends_times_the_event_out() {
    let mut world = World::new("exit 1");
    world.function.timeout = Duration::from_secs(1);
    let mut instance = world.start();
    super::zip(&world.home.path().join("unused.zip"), &[("bootstrap", 0o755, "")]);
    fs_err::write(world.function.task.join("bootstrap"), "#!/bin/bash\nsleep 1000\n").unwrap();
    std::fs::set_permissions(
        world.function.task.join("bootstrap"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    // Found where the environment is made anew; that init is cut at ten seconds, the next one at the timeout.
    instance.renew().unwrap();
    let late = send(&mut instance, "{}");
    assert_eq!(late.outcome, Outcome::TimedOut { limit: Duration::from_secs(1) });
    assert!(world.log().contains("Phase: invoke\tStatus: timeout"), "{}", world.log());
}

#[test]
fn a_function_has_1024_open_files() {
    let world = World::new(&format!("echo \"soft $(ulimit -Sn) hard $(ulimit -Hn)\"\n{ECHO}"));
    world.start();
    assert!(world.log().contains("soft 1024 hard 1024"), "{}", world.log());
}

#[test]
fn a_runtime_of_several_loops_gets_each_event_once() {
    let each =
        "each() { while next; do echo \"loop $1 got $body\"; sleep 0.1; respond $body; done; }\neach 1 &\neach 2";
    let mut world = World::new(each);
    world.function.env.insert("AWS_LAMBDA_MAX_CONCURRENCY".into(), "2".into());
    let mut instance = world.start();
    for event in ["1", "2", "3", "4"] {
        assert_eq!(text(&send(&mut instance, event)), event);
    }
    drop(instance);
    assert_eq!(world.log().matches(" got ").count(), 4, "{}", world.log());
}

#[test]
fn a_fresh_environment_has_nothing_of_the_one_before() {
    let world =
        World::new("echo \"tmp: $(ls /tmp)\"\ntouch /tmp/left\nn=0; while next; do n=$((n + 1)); respond $n; done");
    let mut instance = world.start();
    assert_eq!([1, 2].map(|_| text(&send(&mut instance, "{}"))), ["1", "2"]);
    instance.renew().unwrap();
    let first = send(&mut instance, "{}");
    assert_eq!(text(&first), "1");
    assert!(first.init.is_some(), "it has an init phase of its own");
    assert_eq!(world.log().matches("tmp: \n").count(), 2, "{}", world.log());
}

const RESTORE: &str = r#"
echo "type $AWS_LAMBDA_INITIALIZATION_TYPE"
call GET restore/next ''
echo "restored $status"
"#;

#[test]
fn snap_start_stops_before_its_first_event_and_goes_on() {
    let mut world = World::new(&format!("{RESTORE}\n{ECHO}"));
    world.function.initialization = Initialization::SnapStart;
    let mut instance = world.start();
    let first = send(&mut instance, "1");
    assert_eq!((text(&first).as_str(), first.init), ("1", None));
    assert!(first.restore.is_some());
    assert_eq!(first.billed_ms, u64::try_from(first.duration.as_micros().div_ceil(1000)).unwrap());
    assert_eq!(send(&mut instance, "2").restore, None);
    let log = world.log();
    let order = [
        "INIT_START",
        "type snap-start",
        "INIT_REPORT",
        "RESTORE_START",
        "restored 200",
        "RESTORE_REPORT",
        "START RequestId",
    ];
    let places: Vec<usize> =
        order.iter().map(|part| log.find(part).unwrap_or_else(|| panic!("{part}: {log}"))).collect();
    assert!(places.is_sorted(), "{log}");
    assert!(log.contains("Restore Duration: ") && log.contains("Billed Restore Duration: "), "{log}");
}

#[test]
fn a_failed_restore_is_reported_and_without_snap_start_there_is_none() {
    let fail = "call POST restore/error '{\"errorType\":\"E\"}' $'Lambda-Runtime-Function-Error-Type: Runtime.AfterRestoreError\\r\\n'\necho \"error $status\"\nexit 1";
    let mut world = World::new(&format!("{RESTORE}\n{fail}"));
    world.function.initialization = Initialization::SnapStart;
    let failed = send(&mut world.start(), "{}");
    assert_eq!(failed.outcome.error_type(), Some("Runtime.AfterRestoreError"));
    assert!(world.log().contains("Phase: restore\tStatus: error\tError Type: Runtime.AfterRestoreError"));
    let world = World::new(&format!("{RESTORE}\ncall POST restore/error '{{}}' ''\necho \"early $status\"\n{ECHO}"));
    assert_eq!(text(&send(&mut world.start(), "1")), "1");
    let log = world.log();
    for part in ["type on-demand", "restored 404", "early 403"] {
        assert!(log.contains(part), "{part} in {log}");
    }
}

/// Registers the runtime itself as an internal extension, as one does that wants to hear of its end.
const REGISTER: &str = r#"
request POST /2020-01-01/extension/register '{"events":[]}' $'Lambda-Extension-Name: mine\r\n'
echo "register $status $body"
( request GET /2020-01-01/extension/event/next '' "Lambda-Extension-Identifier: $extension"$'\r\n' ) &
"#;
const TRAP: &str = "trap 'echo told; sleep 0.1; echo flushed; exit 0' TERM\n";

#[test]
fn an_internal_extension_is_told_of_the_end() {
    let world = World::new(&format!("{TRAP}{REGISTER}{ECHO}"));
    let mut instance = world.start();
    assert_eq!(text(&send(&mut instance, "1")), "1");
    drop(instance);
    let log = world.log();
    assert!(
        log.contains(r#"register 200 {"functionName":"hello","functionVersion":"$LATEST","handler":"index.php"}"#),
        "{log}"
    );
    assert!(log.contains("told") && log.contains("flushed"), "{log}");
}

#[test]
fn without_an_extension_the_end_comes_without_a_word() {
    let world = World::new(&format!("{TRAP}{ECHO}"));
    let mut instance = world.start();
    send(&mut instance, "1");
    drop(instance);
    assert!(!world.log().contains("told"), "{}", world.log());
}

#[test]
fn whoever_ignores_the_word_is_killed_after_half_a_second() {
    let world = World::new(&format!("trap 'echo told' TERM\n{REGISTER}while :; do next; respond \"$body\"; done"));
    let mut instance = world.start();
    send(&mut instance, "1");
    let started = Instant::now();
    drop(instance);
    let took = started.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert!(world.log().contains("told"), "{}", world.log());
}

#[test]
fn an_extension_that_never_asks_keeps_the_function_from_its_first_event() {
    let mut world = World::new(&format!("{}{ECHO}", REGISTER.lines().take(3).collect::<Vec<_>>().join("\n") + "\n"));
    world.function.timeout = Duration::from_secs(1);
    let mut instance = world.start();
    assert_eq!(send(&mut instance, "1").outcome, Outcome::TimedOut { limit: Duration::from_secs(1) });
    assert!(world.log().contains("Phase: init\tStatus: timeout"), "{}", world.log());
}

#[test]
fn extensions_register_once_early_and_for_nothing() {
    let script = r#"
register() { request POST /2020-01-01/extension/register "$1" "$2"; echo "$3 $status"; }
name=$'Lambda-Extension-Name: mine\r\n'
register '{"events":[]}' '' nameless
register 'x' "$name" nonsense
register '{"events":["INVOKE"]}' "$name" events
request GET /2020-01-01/extension/event/next '' $'Lambda-Extension-Identifier: x\r\n'; echo "unknown $status"
while next; do
    register '{"events":[]}' "$name" late
    respond 1
done"#;
    let world = World::new(script);
    assert_eq!(text(&send(&mut world.start(), "1")), "1");
    let log = world.log();
    for part in ["nameless 403", "nonsense 400", "events 403", "unknown 403", "late 403"] {
        assert!(log.contains(part), "{part} in {log}");
    }
}

#[test]
fn a_runtime_that_exits_in_its_init_is_started_again_for_each_event() {
    let world = World::new(
        "n=$(cat /tmp/n 2>/dev/null || echo 0); echo $((n + 1)) >/tmp/n; [ $n -lt 2 ] && exit 5\nwhile next; do respond $n; done",
    );
    let mut instance = world.start();
    assert_eq!(send(&mut instance, "{}").outcome, Outcome::Exited(Exit::Status(5)));
    assert_eq!(text(&send(&mut instance, "{}")), "2");
}
