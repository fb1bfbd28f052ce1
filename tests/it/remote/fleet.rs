//! Several machines, each with a store of its own and one shared store: who compiles what, and what comes of it.
//!
//! They compile small things for real, on top of the store that `tests/run` filled: PHP itself is never compiled here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use phplayer::digest::Digest;
use serde_json::Value;

use super::build;
use super::fake_s3::FakeS3;
use crate::world::{Said, World};

const RECIPE: &str = "name = \"fleet\"\nphp = \"8.4\"\nextensions = [\"ctype\", \"shmop\"]\n";

/// A machine: a folder with a recipe and a store in which the sources and the compiler are, and no step.
fn machine(recipe: &str) -> World {
    let world = World::new();
    world.write("phplayer.toml", recipe);
    fs_err::create_dir_all(world.path("store/steps")).unwrap();
    for (folder, how) in [("trees", "-al"), ("sources", "-al"), ("zig-cache", "-a")] {
        let copied = Command::new("cp").arg(how).arg(warm().join(folder)).arg(world.path("store")).status().unwrap();
        assert!(copied.success(), "the store can be copied by hard links: TMPDIR is on its file system");
    }
    world
}

/// The same with every step that the filled store has, but for this recipe's own.
fn warm_machine(recipe: &str) -> World {
    let world = machine(recipe);
    let copied = Command::new("cp").arg("-al").arg(warm().join("steps")).arg(world.path("store")).status().unwrap();
    assert!(copied.success());
    for (id, key) in keys(&world, &[]) {
        if id.starts_with("link:") || id == "ext:ctype" || id == "ext:shmop" {
            let _ = fs_err::remove_dir_all(world.path("store/steps").join(key));
        }
    }
    world
}

fn warm() -> PathBuf {
    std::env::var_os("PHPLAYER_TEST_STORE").expect("PHPLAYER_TEST_STORE is set: `bash tests/run` does it").into()
}

/// Steps and their keys, of these recipes or the one that is here.
fn keys(world: &World, recipes: &[&str]) -> BTreeMap<String, String> {
    let said = world.run(&[&["plan", "--format", "json"], recipes].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let plans: Value = serde_json::from_str(&said.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    plans[0]["steps"].as_array().unwrap().iter().map(|step| (text(&step["id"]), text(&step["key"]))).collect()
}

fn run(world: &World, endpoint: &str) -> Said {
    world.said(build(world, endpoint, &["--store", "store"]).output().unwrap())
}

/// The steps behind a verb of the talk, sorted.
fn steps<'s>(said: &'s Said, verb: &str) -> Vec<&'s str> {
    assert_eq!(said.code, 0, "{}", said.stderr);
    let lines = said.stderr.lines().filter_map(|line| line.trim_start().strip_prefix(verb)?.strip_prefix("  "));
    let mut steps: Vec<_> = lines.filter_map(|line| line.split_whitespace().next()).collect();
    steps.sort_unstable();
    steps
}

fn zip(world: &World) -> Digest {
    let folder = format!("out/fleet-{}", phplayer::target::Arch::host());
    Digest::of_file(&world.path(&folder).join("runtime.zip")).unwrap()
}

#[test]
#[ignore = "compiles: bash tests/run"]
fn what_one_has_compiled_the_others_fetch() {
    let s3 = FakeS3::start();
    let first = warm_machine(RECIPE);
    let said = run(&first, s3.address());
    assert_eq!(steps(&said, "Compile"), ["ext:ctype", "ext:shmop", "link:fleet"]);
    let all: Vec<String> = keys(&first, &[]).into_keys().collect();
    assert_eq!(steps(&said, "Push"), all, "what was here before is shared too");

    let second = machine(RECIPE);
    let said = run(&second, s3.address());
    assert_eq!((steps(&said, "Pull"), steps(&said, "Compile")), (vec!["link:fleet"], vec![]), "{}", said.stderr);
    assert_eq!(zip(&second), zip(&first));

    // Another recipe: all but its link is there.
    let third = machine("name = \"fleet\"\nphp = \"8.4\"\nextensions = [\"shmop\"]\n");
    let said = run(&third, s3.address());
    assert_eq!(steps(&said, "Compile"), ["link:fleet"], "{}", said.stderr);
    assert_eq!(steps(&said, "Push"), ["link:fleet"]);
    let own: Vec<String> = keys(&third, &[]).into_keys().filter(|id| !id.starts_with("link:")).collect();
    assert_eq!(steps(&said, "Pull"), own);
    let said = run(&third, s3.address());
    assert!(steps(&said, "Pull").is_empty() && steps(&said, "Push").is_empty(), "{}", said.stderr);
    assert!(!said.stderr.contains(super::SECRET), "{}", said.stderr);
}

#[test]
#[ignore = "compiles: bash tests/run"]
fn a_damaged_step_is_compiled_anew_and_replaced_and_the_layer_is_the_same() {
    let s3 = FakeS3::start();
    let first = warm_machine(RECIPE);
    run(&first, s3.address());
    let keys = keys(&first, &[]);
    let object = |id: &str| format!("builds/team/steps/{}.tar.gz", keys[id]);
    s3.remove(&object("link:fleet"));
    s3.change(&object("ext:ctype"), |object| object.bytes[100] ^= 1);

    let second = machine(RECIPE);
    let said = run(&second, s3.address());
    assert_eq!(steps(&said, "Compile"), ["ext:ctype", "link:fleet"], "{}", said.stderr);
    assert_eq!(steps(&said, "Push"), ["ext:ctype", "link:fleet"]);
    assert!(said.stderr.contains("ext:ctype in the shared store is damaged"), "{}", said.stderr);
    assert_eq!(zip(&second), zip(&first));
    let third = machine("name = \"fleet\"\nphp = \"8.4\"\nextensions = [\"ctype\"]\n");
    let said = run(&third, s3.address());
    assert!(steps(&said, "Pull").contains(&"ext:ctype") && !said.stderr.contains("damaged"), "{}", said.stderr);
}

#[test]
#[ignore = "compiles: bash tests/run"]
fn a_shared_store_that_is_gone_half_way_is_told_and_the_rest_is_built() {
    let s3 = FakeS3::start();
    let first = warm_machine(RECIPE);
    run(&first, s3.address());
    let second = warm_machine(RECIPE);
    let link = format!("builds/team/steps/{}.tar.gz", keys(&first, &[])["link:fleet"]);
    s3.remove(&link);
    // Its link, one extension, and no more.
    s3.die_after(2);
    let said = run(&second, s3.address());
    let compiled = steps(&said, "Compile");
    assert!(compiled.contains(&"link:fleet") && compiled.len() == 3 - steps(&said, "Pull").len(), "{}", said.stderr);
    assert!(steps(&said, "Pull").len() <= 1, "{}", said.stderr);
    assert_eq!(said.stderr.matches("warning").count(), 1, "{}", said.stderr);
    assert!(said.stderr.contains("the shared store s3://builds/team cannot be used"), "{}", said.stderr);
    assert_eq!(zip(&second), zip(&first));
}

#[test]
#[ignore = "compiles: bash tests/run"]
fn two_that_build_the_same_at_once_end_with_the_same_layer() {
    let s3 = FakeS3::start();
    let machines = [warm_machine(RECIPE), warm_machine(RECIPE)];
    std::thread::scope(|scope| {
        for world in &machines {
            scope.spawn(|| assert_eq!(run(world, s3.address()).code, 0));
        }
    });
    assert_eq!(zip(&machines[0]), zip(&machines[1]));
    assert_eq!(s3.names().len(), keys(&machines[0], &[]).len());
}

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn ministack_carries_php_84_to_an_empty_machine() {
    let endpoint = std::env::var("PHPLAYER_TEST_MINISTACK").expect("tests/run starts MiniStack");
    // A bucket of this run's own: MiniStack keeps what it has for as long as it runs.
    let bucket = format!("fleet-{}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos());
    let made = ureq::put(format!("{endpoint}/{bucket}")).send_empty().unwrap();
    assert_eq!(made.status(), 200);
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/php-84.toml");
    let go = |world: &World| {
        let mut command = build(world, &endpoint, &["--store", &format!("s3://{bucket}/php"), "--store", "store"]);
        // Where MiniStack makes buckets that name no place.
        command.arg(recipe).env("AWS_REGION", "us-east-1");
        world.said(command.output().unwrap())
    };
    let zip = |world: &World| {
        Digest::of_file(&world.path(&format!("out/php-84-{}/runtime.zip", phplayer::target::Arch::host()))).unwrap()
    };
    let first = machine("");
    let copied = Command::new("cp").arg("-al").arg(warm().join("steps")).arg(first.path("store")).status().unwrap();
    assert!(copied.success());
    let (said, took) = timed(|| go(&first));
    assert!(steps(&said, "Compile").is_empty(), "tests/run has built it: {}", said.stderr);
    let pushed = steps(&said, "Push").len();
    assert!(pushed > 30, "{}", said.stderr);
    eprintln!("{pushed} steps pushed in {took:.1} s");

    let second = World::new();
    let (said, took) = timed(|| go(&second));
    eprintln!("the link pulled and packed in {took:.1} s\n{}", said.stderr);
    assert_eq!((steps(&said, "Pull"), steps(&said, "Compile")), (vec!["link:php-84"], vec![]), "{}", said.stderr);
    assert_eq!(zip(&second), zip(&first));

    // Without the link, all that it needs comes, and the link alone is made anew: it is the same to the byte.
    let link = &keys(&first, &[recipe])["link:php-84"];
    let removed = ureq::delete(format!("{endpoint}/{bucket}/php/steps/{link}.tar.gz")).call().unwrap();
    assert!(removed.status().is_success());
    let third = machine("");
    let (said, took) = timed(|| go(&third));
    assert_eq!(steps(&said, "Compile"), ["link:php-84"], "{}", said.stderr);
    assert_eq!(steps(&said, "Pull").len(), pushed - 1);
    eprintln!("{} steps pulled, and linked, in {took:.1} s\n{}", pushed - 1, said.stderr);
    assert_eq!(zip(&third), zip(&first));
}

/// And what it took, in seconds.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed().as_secs_f64())
}
