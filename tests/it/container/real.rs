//! A real BuildKit and a stand-in for Amazon's image. tests/run starts the one, makes the other, and has phplayer build
//! recipes/php-84.toml in it; these tests ask for it again, and look at what came of it. What needs no PHP takes a tiny one.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::builders::{Real, part, tiny};
use crate::world::World;

/// The folder with the recipe, its base, `archives/` of sources, and `out/`.
fn contained() -> PathBuf {
    part("CONTAINED").into()
}

fn runtime() -> PathBuf {
    contained().join(format!("out/php-84-{}/runtime.zip", phplayer::target::Arch::host()))
}

/// phplayer with an empty store: what is not compiled comes from the builder's cache.
fn command(world: &World, verb: &str) -> Command {
    fs_err::os::unix::fs::symlink(contained().join("archives"), world.path("sources")).unwrap();
    let mut command = Real::Docker.command(world, &[verb]);
    command.arg(contained().join("php-84.toml"));
    command
}

/// The layer passes the audit for the base that it is for, and for Amazon Linux it is told that it is for another.
#[test]
#[ignore = "needs the layer that tests/run has a container builder make"]
fn the_layer_is_audited_for_its_own_base() {
    let world = World::new();
    world.write("bases/standin.toml", include_str!("standin.toml"));
    let zip = runtime();
    let zip = zip.to_str().unwrap();
    let said = world.run(&["audit", "--base", "standin", zip]);
    assert_eq!(said.code, 0, "{}", said.stdout);
    let said = world.run(&["audit", zip]);
    assert!(said.code == 1 && said.stdout.contains("it is made for standin"), "{}", said.stdout);
}

#[test]
#[ignore = "needs the layer that tests/run has a container builder make"]
fn a_second_build_comes_from_the_builders_cache_and_is_the_same() {
    let world = World::new();
    let start = std::time::Instant::now();
    let said = world.said(command(&world, "build").output().unwrap());
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("from the builder's cache") && !said.stderr.contains("Compile"), "{}", said.stderr);
    assert!(start.elapsed().as_secs() < 180, "a build from the cache took {:?}", start.elapsed());
    let again = world.path(&format!("out/php-84-{}/runtime.zip", phplayer::target::Arch::host()));
    assert_eq!(fs_err::read(again).unwrap(), fs_err::read(runtime()).unwrap());
}

#[test]
#[ignore = "needs the layer that tests/run has a container builder make"]
fn the_shell_stands_where_the_step_does() {
    let world = World::new();
    let mut command = command(&world, "shell");
    let mut child =
        command.arg("ext:zlib").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let keys = b"pwd; ls -a; ls /src/ext/zlib /deps/zlib/lib /opt/bin; $CC --version; cat /proc/net/dev\n";
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), keys).unwrap();
    let said = world.said(child.wait_with_output().unwrap());
    assert_eq!(said.code, 0, "{}", said.stderr);
    for part in ["/build", ".phplayer-step", "config0.m4", "libz.a", "phpize", "gcc (Debian"] {
        assert!(said.stdout.contains(part), "no {part} in {}", said.stdout);
    }
    assert!(!said.stdout.contains("eth0"), "{}", said.stdout);
}

#[test]
#[ignore = "needs the stand-in base of tests/run"]
fn a_base_without_gcc_is_named_with_what_it_lacks() {
    let world = tiny();
    let docker = |words: &[&str]| {
        let mut command = Command::new("/usr/bin/docker");
        command.args(words).env("DOCKER_HOST", part("DOCKER")).stdin(Stdio::null());
        assert!(command.status().unwrap().success(), "docker {words:?}");
    };
    let bare = world.path("bare");
    fs_err::create_dir_all(&bare).unwrap();
    world.write("bare/Dockerfile", "FROM phplayer-standin:bookworm\nRUN rm /usr/bin/gcc\n");
    let mut build = Command::new("/usr/bin/docker");
    build.args(["build", "--network=none", "--tag", "phplayer-standin:no-gcc", bare.to_str().unwrap()]);
    let built = build.env("DOCKER_HOST", part("DOCKER")).env("DOCKER_BUILDKIT", "1").output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    world.write("bases/standin.toml", &include_str!("standin.toml").replace(":bookworm", ":no-gcc"));
    let said = Real::Docker.run(&world, &["build"]);
    docker(&["image", "rm", "phplayer-standin:no-gcc"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("the base standin lacks gcc"), "{}", said.stderr);
}
