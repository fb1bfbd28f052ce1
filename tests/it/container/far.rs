//! Builders that are not this machine's own: a second daemon over TCP with TLS, and one that is killed in the middle.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use phplayer::target::Arch;

use super::builders::{Real, part, tiny};
use crate::world::{Said, World};

/// With the contexts that tests/run has made: `far`, whose programs are arm64's, and `stranger`, whom the daemon does not know.
fn build(world: &World, builder: &str) -> Said {
    Real::Docker.run(world, &["build", "--builder", builder])
}

#[test]
#[ignore = "needs the far builder of tests/run"]
fn both_architectures_come_from_one_call_and_two_builders() {
    let world = tiny();
    let recipe = fs_err::read_to_string(world.path("phplayer.toml")).unwrap();
    world.write("phplayer.toml", &format!("arch = [\"x86_64\", \"arm64\"]\n{recipe}"));
    let said = build(&world, "arm64=far");
    assert_eq!(said.code, 0, "{}", said.stderr);
    for line in
        ["Builder  docker build, in phplayer-standin", "Builder  docker build, context far, in phplayer-standin"]
    {
        assert!(said.stderr.contains(line), "no {line} in {}", said.stderr);
    }
    for arch in Arch::ALL {
        let zip = world.path(&format!("out/tiny-{arch}/runtime.zip"));
        let said = world.run(&["audit", "--base", "standin", "--arch", arch.name(), zip.to_str().unwrap()]);
        assert_eq!(said.code, 0, "{arch}: {}{}", said.stdout, said.stderr);
    }
}

#[test]
#[ignore = "needs the far builder of tests/run"]
fn a_builder_that_does_not_know_us_is_named_with_its_reason() {
    let said = build(&tiny(), "stranger");
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("docker build") && said.stderr.contains("certificate"), "{}", said.stderr);
}

/// A daemon of the test's own. Its mounts go when it goes: it has a mount namespace for itself.
struct Daemon(Child);

impl Daemon {
    /// `run`: what it keeps while it runs is under this name. After a kill a part of it may seem to be running still.
    fn start(world: &World, run: &str) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "dockerd", "--iptables=false", "--bridge=none"]);
        for (option, name) in [("--data-root", "data"), ("--exec-root", run), ("--pidfile", &format!("{run}.pid"))] {
            command.arg(option).arg(world.path(name));
        }
        command.arg("--host").arg(address(world)).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let log = fs_err::File::create(world.path("dockerd.log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.into_file()).process_group(0);
        let mut daemon = Daemon(command.spawn().unwrap());
        let start = Instant::now();
        while !docker(world, &["version"]) {
            let log = || fs_err::read_to_string(world.path("dockerd.log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(60), "{}", log());
            assert!(daemon.0.try_wait().unwrap().is_none(), "{}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address(world: &World) -> String {
    format!("unix://{}", world.path("d").display())
}

fn docker(world: &World, words: &[&str]) -> bool {
    let mut command = Command::new("/usr/bin/docker");
    command.args(words).env("DOCKER_HOST", address(world)).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
#[ignore = "needs the base of tests/run, and root"]
fn what_a_killed_builder_had_finished_is_there_when_it_is_back() {
    let world = tiny();
    // Linking starts the program, and this one takes its time: PHP is compiled by then, and the daemon killed.
    let mut copied = Command::new("cp");
    copied.args(["-r", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-php")]);
    assert!(copied.arg(world.path("")).status().unwrap().success());
    let main = fs_err::read_to_string(world.path("tiny-php/cli_main.c")).unwrap();
    world.write("tiny-php/cli_main.c", &main.replace("(void)argv;", "unsigned sleep(unsigned); sleep(10);"));
    super::php_from(&world, &world.path(""));

    let mut daemon = Daemon::start(&world, "first");
    assert!(docker(&world, &["import", &part("STANDIN"), "phplayer-standin:bookworm"]));
    let command = || {
        let mut command = world.command(&["build", "--builder", "docker", "--sources", "sources"]);
        command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("DOCKER_HOST", address(&world));
        command
    };
    let mut first = command().stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(first.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("Compile  php:8.4.99") {
            daemon.0.kill().unwrap();
            daemon.0.wait().unwrap();
        }
        said.push_str(&line);
        said.push('\n');
    }
    assert_eq!(first.wait().unwrap().code(), Some(3), "{said}");
    assert!(said.contains("ended before its work was done"), "{said}");

    daemon = Daemon::start(&world, "second");
    let again = world.said(command().output().unwrap());
    drop(daemon);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(
        again.stderr.contains("from the builder's cache") && !again.stderr.contains("Compile  php"),
        "{}",
        again.stderr
    );
}
