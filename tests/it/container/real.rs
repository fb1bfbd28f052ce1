//! A real BuildKit and a stand-in for Amazon's image. tests/run starts the one, makes the other, and has phplayer build
//! recipes/php-84.toml in it; these tests ask for it again, and look at what came of it. What needs no PHP takes a tiny one.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::world::{Said, World};

/// The folder with the recipe, its base, `archives/` of sources, and `out/`.
fn contained() -> PathBuf {
    part("CONTAINED").into()
}

pub fn part(name: &str) -> String {
    std::env::var(format!("PHPLAYER_TEST_{name}"))
        .unwrap_or_else(|_| panic!("PHPLAYER_TEST_{name}: run bash tests/run"))
}

fn runtime() -> PathBuf {
    contained().join(format!("out/php-84-{}/runtime.zip", phplayer::target::Arch::host()))
}

/// phplayer with an empty store, and sources: what is not compiled comes from the builder's cache.
fn command(world: &World, words: &[&str]) -> Command {
    let mut command = world.command(words);
    command.args(["--builder", "docker", "--store"]).arg(world.path("store"));
    command.arg("--sources").arg(contained().join("archives"));
    // Debian's own client: another `docker` may come first.
    command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("DOCKER_HOST", part("DOCKER"));
    command
}

/// A recipe of the tiny PHP in the stand-in base.
pub fn tiny() -> World {
    let world = World::new();
    super::tiny_php(&world);
    world.write("bases/standin.toml", include_str!("standin.toml"));
    world.write("phplayer.toml", "name = \"tiny\"\nphp = \"8.4\"\nbase = \"standin\"\nextensions = []\n");
    world
}

/// Runs phplayer with Debian's own docker, since another may come first.
pub fn run(world: &World, words: &[&str]) -> Said {
    let mut command = world.command(&words[..1]);
    // What a test says of builders counts after this.
    command.args(["--builder", "docker", "--sources", "sources"]).args(&words[1..]);
    command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("DOCKER_HOST", part("DOCKER"));
    // Where the contexts are.
    command.env("DOCKER_CONFIG", part("DOCKER_CONFIG"));
    world.said(command.output().unwrap())
}

fn zip(world: &World) -> Vec<u8> {
    fs_err::read(world.path(&format!("out/tiny-{}/runtime.zip", phplayer::target::Arch::host()))).unwrap()
}

#[test]
#[ignore = "needs the builder and the base of tests/run"]
fn a_plan_is_built_packed_and_audited_and_then_comes_from_the_cache() {
    let world = tiny();
    let said = run(&world, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("Audit  10 files · 0 objections"), "{}", said.stderr);
    let first = zip(&world);
    for folder in ["home", "out"] {
        fs_err::remove_dir_all(world.path(folder)).unwrap();
    }
    let said = run(&world, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("2 steps from the builder's cache"), "{}", said.stderr);
    assert!(!said.stderr.contains("Compile"), "{}", said.stderr);
    assert_eq!(zip(&world), first);
}

/// A mistake in a source is a failing step, shown with what its compiler said; mended, the build goes on.
#[test]
#[ignore = "needs the builder and the base of tests/run"]
fn a_failing_step_shows_what_its_compiler_said() {
    let world = tiny();
    let library = "name = \"broken\"\nlicense = \"MIT\"\nlink = [\"libbroken.a\"]\nbuild = \"\"\"\necho 'int broken(' > b.c\n$CC -c b.c\n\
                   \"\"\"\n[[release]]\nversion = \"1\"\n";
    let release = fs_err::read_to_string(world.path("php-extensions/php/8.4.toml")).unwrap();
    let source = &release[release.find("[[release.source]]").unwrap()..];
    world.write("php-extensions/libraries/broken.toml", &format!("{library}{source}"));
    let extension = "name = \"e\"\nsummary = \"E\"\nlibraries = [\"broken\"]\n[build]\nsources = [\"e.c\"]\n";
    world.write("php-extensions/e.toml", extension);
    let recipe = fs_err::read_to_string(world.path("phplayer.toml")).unwrap();
    world.write("phplayer.toml", &recipe.replace("[]", "[\"e\"]"));
    let said = run(&world, &["build"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("lib:broken failed") && said.stderr.contains("b.c:1:"), "{}", said.stderr);
    assert!(said.stderr.contains("phplayer shell --engine container phplayer.toml lib:broken"), "{}", said.stderr);
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
    let recipe = contained().join("php-84.toml");
    let start = std::time::Instant::now();
    let said = world.said(command(&world, &["build", recipe.to_str().unwrap()]).output().unwrap());
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
    let recipe = contained().join("php-84.toml");
    let mut command = command(&world, &["shell", "--engine", "container", recipe.to_str().unwrap(), "ext:zlib"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
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
    let said = run(&world, &["build"]);
    docker(&["image", "rm", "phplayer-standin:no-gcc"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("the base standin lacks gcc"), "{}", said.stderr);
}
