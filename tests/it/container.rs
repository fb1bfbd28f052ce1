//! The container engine as a user meets it: with a fake builder on PATH, and with a real one where tests/run has it.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use phplayer::digest::Digest;

use crate::world::{Said, World};

mod builders;
mod far;
mod real;

const RECIPE: &str = "name = \"bare\"\nphp = \"8.4\"\nbase = \"tiny\"\nengine = \"container\"\nextensions = []\n";
const BASE: &str = r#"name = "tiny"
summary = "For tests"
image = "registry.test/base:1"
setup = ["install-tools"]
runtime = "provided.al2023"
glibc = "2.34"
policy = "al2023"
"#;

/// A world whose PATH has the fake builder alone, and whose PHP is tiny.
pub struct Place {
    pub world: World,
}

/// A PHP 8.4.99 of a few lines in tests/fixtures/tiny-php, which the same step scripts make in seconds; `sources` has its
/// archive.
fn tiny_php(world: &World) {
    php_from(world, Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")));
}

/// Takes `tiny-php` in that folder.
fn php_from(world: &World, folder: &Path) {
    let archive = world.path("sources/php-8.4.99.tar.gz");
    fs_err::create_dir_all(archive.parent().unwrap()).unwrap();
    let packed = Command::new("tar").arg("-C").arg(folder).arg("-czf").arg(&archive).arg("tiny-php").status();
    assert!(packed.unwrap().success());
    let sha256 = Digest::of_file(&archive).unwrap();
    let url = "http://127.0.0.1:9/php-8.4.99.tar.gz";
    world.write(
        "php-extensions/php/8.4.toml",
        &format!(
            "series = \"8.4\"\nlicense = \"PHP-3.01\"\nbuiltin = []\n[[release]]\nversion = \"8.4.99\"\n\
             [[release.source]]\nsha256 = \"{sha256}\"\nurls = [\"{url}\"]\n"
        ),
    );
}

impl Place {
    pub fn new(mode: &str) -> Self {
        let world = World::new();
        let script = include_str!("container/fake-builder.sh");
        let fake = world.write("bin/docker", script);
        fs_err::set_permissions(&fake, PermissionsExt::from_mode(0o755)).unwrap();
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/elf/program");
        fs_err::copy(fixture, world.path("bin/program")).unwrap();
        for tool in ["sh", "cat", "cp", "mkdir", "sed", "grep", "dirname", "sleep"] {
            let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
                .map(|folder| folder.join(tool))
                .find(|file| file.is_file())
                .unwrap();
            fs_err::os::unix::fs::symlink(real, world.path("bin").join(tool)).unwrap();
        }
        tiny_php(&world);
        world.write("bases/tiny.toml", BASE);
        world.write("phplayer.toml", RECIPE);
        let place = Self { world };
        place.mode(mode);
        place
    }

    fn mode(&self, mode: &str) {
        self.world.write("bin/mode", mode);
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.world.command(words);
        command.env("PATH", self.world.path("bin")).env("PHPLAYER_SOURCES", self.world.path("sources"));
        command
    }

    pub fn run(&self, words: &[&str]) -> Said {
        self.world.said(self.command(words).output().unwrap())
    }

    pub fn calls(&self) -> String {
        fs_err::read_to_string(self.world.path("bin/calls")).unwrap_or_default()
    }

    fn built(&self) -> serde_json::Value {
        let folder = format!("out/bare-{}/manifest.json", phplayer::target::Arch::host());
        serde_json::from_slice(&fs_err::read(self.world.path(&folder)).unwrap()).unwrap()
    }
}

/// What the builder made is a layer like any other; which engine made it, in what, is said; the store has it afterwards.
#[test]
fn a_build_by_a_builder_is_packed_audited_and_kept() {
    let place = Place::new("builds");
    let said = place.run(&["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for line in
        ["Builder  docker build, in registry.test/base:1", "Compile  php:8.4.99                   1m 01s", "Audit"]
    {
        assert!(said.stderr.contains(line), "no {line} in {}", said.stderr);
    }
    assert!(
        said.stderr.contains("registry.test/base:1 is not pinned: `phplayer lock --engine container`"),
        "{}",
        said.stderr
    );
    let built = place.built();
    assert_eq!(built["engine"], "container");
    assert_eq!(built["container"]["image"], "registry.test/base:1");
    assert_eq!(built["container"]["pinned"], false);
    let calls = place.calls().lines().count();
    assert_eq!(place.run(&["build"]).code, 0);
    assert_eq!(place.calls().lines().count(), calls, "the store had it: nobody was called");
}

#[test]
fn where_no_builder_answers_each_is_named_with_its_reason_and_the_way_out() {
    let place = Place::new("no-daemon");
    let said = place.run(&["build"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    for line in [
        "docker build: Cannot connect to the Docker daemon",
        "podman build: not installed",
        "finch build: not installed",
    ] {
        assert!(said.stderr.contains(line), "no {line} in {}", said.stderr);
    }
    assert!(
        said.stderr.contains("apt-get install docker.io") && said.stderr.contains("--engine local"),
        "{}",
        said.stderr
    );
    let only = place.run(&["build", "--builder", "podman"]);
    assert!(only.code == 3 && !only.stderr.contains("finch"), "{}", only.stderr);
    let doctor = place.run(&["doctor"]);
    assert!(doctor.stdout.contains("none answers"), "{}", doctor.stdout);
}

/// Under `auto`, a machine that lacks the local engine's tools takes the builder that it has, and doctor says why.
#[test]
fn auto_takes_a_builder_where_the_local_engine_cannot_serve() {
    let place = Place::new("builds");
    place.world.write("phplayer.toml", &RECIPE.replace("engine = \"container\"\n", ""));
    let doctor = place.run(&["doctor"]);
    assert!(
        doctor.stdout.contains("`auto` means container here, by docker build: this machine lacks"),
        "{}",
        doctor.stdout
    );
    let said = place.run(&["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(place.built()["engine"], "container");
}

#[test]
fn a_failing_step_shows_its_last_lines_and_the_way_into_it() {
    let place = Place::new("fails");
    let said = place.run(&["build"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("php:8.4.99 failed"), "{}", said.stderr);
    assert!(said.stderr.contains("configure: error: the test wants it so"), "{}", said.stderr);
    assert!(said.stderr.contains("phplayer shell --engine container"), "{}", said.stderr);
}

#[test]
fn a_builder_that_dies_is_told_apart_from_a_step_that_fails_and_a_rerun_goes_on() {
    let place = Place::new("dies");
    let said = place.run(&["build"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("docker build ended before its work was done"), "{}", said.stderr);
    assert!(said.stderr.contains("error reading from server: EOF"), "{}", said.stderr);
    place.mode("cached");
    let said = place.run(&["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("Cached  1 steps from the builder's cache"), "{}", said.stderr);
}

#[test]
fn a_base_without_gcc_says_what_it_lacks_and_where_that_is_mended() {
    let place = Place::new("no-gcc");
    let said = place.run(&["build"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("the base tiny lacks gcc ld"), "{}", said.stderr);
    assert!(said.stderr.contains("`setup` in bases/tiny.toml"), "{}", said.stderr);
}

#[test]
fn a_lock_pins_the_base_by_the_registrys_digest_and_a_wrong_one_is_told() {
    let place = Place::new("builds");
    let digest = "1".repeat(64);
    let said = place.run(&["lock"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let lock = fs_err::read_to_string(place.world.path("phplayer.lock")).unwrap();
    assert!(lock.contains("\"base:tiny\"") && lock.contains(&digest), "{lock}");
    assert_eq!(place.run(&["lock", "--check"]).code, 0);
    let from = format!("FROM registry.test/base:1@sha256:{digest} AS setup\n");
    let text = place.run(&["plan", "--format", "dockerfile"]).stdout;
    assert!(text.contains(&from), "{text}");

    place.mode("no-digest");
    let said = place.run(&["build"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("cannot be had") && said.stderr.contains(&digest[..9]), "{}", said.stderr);
    assert!(said.stderr.contains("phplayer.lock"), "{}", said.stderr);
    place.mode("builds");
    let said = place.run(&["build"]);
    assert!(said.code == 0 && !said.stderr.contains("not pinned"), "{}", said.stderr);
    assert_eq!(place.built()["container"]["pinned"], true);
}

#[test]
fn a_check_misses_the_digest_of_the_base_and_asks_no_builder() {
    let place = Place::new("builds");
    let check = |words: &[&str]| place.run(&[&["lock", "--check"], words].concat());
    assert_eq!(place.run(&["lock", "--engine", "local"]).code, 0);
    let said = check(&[]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("has no digest of the base image registry.test/base:1"), "{}", said.stderr);
    assert!(said.stderr.contains("`phplayer lock --engine container` writes it"), "{}", said.stderr);
    assert_eq!(check(&["--engine", "local"]).code, 0);
    assert_eq!(place.calls(), "", "nobody was asked");

    assert_eq!(place.run(&["lock"]).code, 0);
    assert_eq!(check(&[]).code, 0);
    place.world.write("bases/tiny.toml", &BASE.replace("base:1", "base:2"));
    let said = check(&[]);
    assert!(said.code == 1 && said.stderr.contains("image registry.test/base:2"), "{}", said.stderr);
}

#[test]
fn an_image_of_no_registry_stays_unpinned_and_one_out_of_reach_is_an_error() {
    let place = Place::new("local-only");
    let said = place.run(&["lock"]);
    assert!(said.code == 0 && said.stderr.contains("stays unpinned"), "{}", said.stderr);
    place.mode("no-registry");
    let said = place.run(&["lock"]);
    assert!(said.code == 3 && said.stderr.contains("no such host"), "{}", said.stderr);
    assert_eq!(place.run(&["lock", "--engine", "local"]).code, 0);
}

/// Docker 20 cannot cut off a single step: its set-up becomes an image, and the whole other call has no network.
#[test]
fn an_older_frontend_gets_two_calls_and_no_network_in_the_second() {
    let place = Place::new("old");
    let said = place.run(&["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let calls = place.calls();
    let calls: Vec<&str> = calls.lines().filter(|call| !call.contains("--target asked")).collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[0].contains("--target setup") && !calls[0].contains("--network"), "{calls:?}");
    assert!(calls[1].contains("--target result") && calls[1].contains("--network=none"), "{calls:?}");
    let text = |target: &str| fs_err::read_to_string(place.world.path(&format!("bin/Dockerfile-{target}"))).unwrap();
    assert!(text("setup").contains("RUN install-tools"));
    assert!(text("result").contains("FROM phplayer-setup-tiny:") && !text("result").contains("--network"));
}

#[test]
fn an_interrupt_ends_the_builder_too() {
    let place = Place::new("sleeps");
    let child = place.command(&["build"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let pid_file = place.world.path("bin/pid");
    let read = || fs_err::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let until = |what: &str, check: &dyn Fn() -> bool| {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !check() {
            assert!(std::time::Instant::now() < end, "{what}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    until("the builder starts", &|| read().is_some());
    let builder = read().unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let said = place.world.said(child.wait_with_output().unwrap());
    assert_eq!(said.code, 130, "{}", said.stderr);
    let alive =
        || fs_err::read_to_string(format!("/proc/{builder}/cmdline")).is_ok_and(|words| words.contains("sleep"));
    until("the builder ends", &|| !alive());
}

#[test]
fn a_base_past_its_end_is_refused_with_the_reason() {
    let world = World::new();
    world.write("phplayer.toml", "name = \"x\"\nphp = \"8.4\"\nbase = \"al2\"\nextensions = []\n");
    let verbs = ["build", "lock", "lock --check", "fetch", "shell phplayer.toml php:8.4.24", "plan"];
    let plans = ["text", "json", "github", "dockerfile", "bake"].map(|format| format!("plan --format {format}"));
    for words in verbs.into_iter().map(str::to_owned).chain(plans) {
        let said = world.run(&words.split(' ').collect::<Vec<_>>());
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{words}: {}", said.stderr);
        for part in ["`al2` is deprecated", "2026-07-31", "--allow-deprecated"] {
            assert!(said.stderr.contains(part), "{words}: no {part} in {}", said.stderr);
        }
    }
    let said = world.run(&["plan", "--format", "github", "--allow-deprecated"]);
    assert!(said.code == 0 && said.stdout.contains("\"recipe\":\"phplayer.toml\""), "{}", said.stderr);
    let mut command = world.command(&["build", "--allow-deprecated", "--engine", "container"]);
    fs_err::create_dir_all(world.path("bin")).unwrap();
    command.env("PATH", world.path("bin"));
    let said = world.said(command.output().unwrap());
    assert!(said.code == 3 && said.stderr.contains("no container builder answers"), "{}", said.stderr);
}

#[test]
fn a_base_that_nobody_knows_is_shown_at_its_place() {
    let world = World::new();
    world.write("phplayer.toml", "name = \"x\"\nphp = \"8.4\"\nbase = \"al2033\"\nextensions = []\n");
    let said = world.run(&["build"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    for part in ["`al2033` is not a known base", "phplayer.toml:3:8", "did you mean `al2023`?", "bases/al2033.toml"] {
        assert!(said.stderr.contains(part), "no {part} in {}", said.stderr);
    }
}

/// The text depends on nothing but recipe, definitions and lock.
#[test]
fn a_plan_as_a_dockerfile() {
    let world = World::new();
    world.write("phplayer.toml", "name = \"small\"\nphp = \"8.4\"\nextensions = [\"ctype\", \"zlib\"]\n");
    let said = world.run(&["plan", "--format", "dockerfile", "--arch", "x86_64"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let longest = said.stdout.split("\nFROM ").map(str::len).max().unwrap();
    assert!(longest < 128 * 1024, "a stage's command is one argument of a shell: {longest} bytes");
    // What the steps' scripts say is the plan's; here stands how they are wrapped.
    let wrapped = |line: &&str| !line.starts_with("    '") || line.contains("MAKEFLAGS");
    let text: Vec<&str> = said.stdout.lines().filter(wrapped).collect();
    insta::assert_snapshot!("container_dockerfile", text.join("\n"));

    let several = world.run(&["plan", "--format", "dockerfile", "phplayer.toml", "phplayer.toml"]);
    assert!(several.code == 2 && several.stderr.contains("--format bake"), "{}", several.stderr);
}

/// What `fetch --context` lays out is the user's: the store's verified trees are not in it, and a second fetch mends it.
#[test]
fn a_context_may_be_edited_without_harm_to_the_store() {
    let place = Place::new("builds");
    let fetch = || {
        let said = place.run(&["fetch", "--context", "context"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
    };
    fetch();
    let file = place.world.path("context/sources/php-8.4.99/core.c");
    let clean = fs_err::read_to_string(&file).unwrap();
    fs_err::write(&file, "an edit").unwrap();
    fs_err::write(file.with_file_name("more.c"), "more").unwrap();
    let tree = fs_err::read_dir(place.world.path("home/.cache/phplayer/trees")).unwrap().next().unwrap().unwrap();
    assert_eq!(fs_err::read_to_string(tree.path().join("core.c")).unwrap(), clean);
    fetch();
    assert_eq!(fs_err::read_to_string(&file).unwrap(), clean);
    assert!(!file.with_file_name("more.c").exists());
    let laid = fs_err::read_dir(place.world.path("context/sources")).unwrap();
    let laid: Vec<_> = laid.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(laid, ["php-8.4.99"], "nothing is left beside it");
}

#[test]
fn plans_as_a_bake_file() {
    let world = World::new();
    world.write("a.toml", "name = \"a\"\nphp = \"8.4\"\narch = [\"x86_64\", \"arm64\"]\nextensions = []\n");
    world.write("b.toml", "name = \"b\"\nphp = \"8.4\"\narch = [\"arm64\"]\nextensions = [\"ctype\"]\n");
    let said = world.run(&["plan", "--format", "bake", "a.toml", "b.toml"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for part in [
        "targets = [\"a-x86_64\", \"a-arm64\", \"b-arm64\"]",
        "platforms = [\"linux/amd64\"]",
        "output = [\"type=local,dest=out/b-arm64\"]",
        "main=php_$${sapi}_main",
    ] {
        assert!(said.stdout.contains(part), "no {part} in {}", said.stdout);
    }
    assert_eq!(said.stdout.matches("<<PHPLAYER_DOCKERFILE\n").count(), 3);
}

#[test]
fn a_builder_that_cannot_run_the_architectures_programs_is_named_with_the_ways_out() {
    let place = Place::new("foreign");
    let said = place.run(&["build"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    let host = phplayer::target::Arch::host();
    assert!(said.stderr.contains(&format!("docker build cannot run programs of {host}")), "{}", said.stderr);
    assert!(said.stderr.contains(&format!("--builder {host}=NAME")) && said.stderr.contains("qemu-user-static"));
}

#[test]
fn a_builder_may_be_named_for_each_architecture() {
    let place = Place::new("builds");
    let host = phplayer::target::Arch::host();
    let said = place.run(&["build", "--builder", "podman", "--builder", &format!("{host}=far")]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("Builder  docker build, context far, in"), "{}", said.stderr);
    assert!(place.calls().lines().all(|call| call.starts_with("--context far build ")), "{}", place.calls());
    let wrong = place.run(&["build", "--builder", "sparc=far"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("`sparc` is no architecture of Lambda"), "{}", wrong.stderr);
}
