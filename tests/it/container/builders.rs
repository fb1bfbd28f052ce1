//! The programs that build a Dockerfile, as far as they can be had: Docker 20 of Debian 12, Docker 26 with buildx of
//! Debian 13, and podman. Each makes a tiny PHP in a stand-in for Amazon's image; tests/run has started them.

use std::io::Write;
use std::process::{Command, Stdio};

use phplayer::target::Arch;

use crate::world::{Said, World};

#[derive(Clone, Copy)]
pub enum Real {
    /// Older than `RUN --network`, and it prints plain lines.
    Docker,
    /// It prints raw JSON.
    Buildx,
    Podman,
}

impl Real {
    /// phplayer with this builder and no other: another `docker` may come first on PATH.
    pub fn command(self, world: &World, words: &[&str]) -> Command {
        let mut command = world.command(&words[..1]);
        let mut path = "/usr/bin:/bin:/usr/sbin:/sbin".to_owned();
        let name = match self {
            Real::Docker => {
                // Where the contexts are.
                command.env("DOCKER_HOST", part("DOCKER")).env("DOCKER_CONFIG", part("DOCKER_CONFIG"));
                "docker"
            }
            Real::Buildx => {
                let newer = part("BUILDX");
                path = format!("{newer}/usr/bin:{path}");
                command.env("DOCKER_HOST", part("BUILDX_HOST")).env("DOCKER_CONFIG", format!("{newer}/config"));
                "buildx"
            }
            Real::Podman => {
                let folder = part("PODMAN");
                command.env("CONTAINERS_STORAGE_CONF", format!("{folder}/storage.conf"));
                command.env("CONTAINERS_CONF", format!("{folder}/containers.conf"));
                "podman"
            }
        };
        // What a test says of builders counts after this.
        command.args(["--builder", name, "--sources", "sources"]).args(&words[1..]).env("PATH", path);
        command
    }

    pub fn run(self, world: &World, words: &[&str]) -> Said {
        world.said(self.command(world, words).output().unwrap())
    }
}

pub fn part(name: &str) -> String {
    std::env::var(format!("PHPLAYER_TEST_{name}"))
        .unwrap_or_else(|_| panic!("PHPLAYER_TEST_{name}: run bash tests/run"))
}

/// A recipe of the tiny PHP in the stand-in base.
pub fn tiny() -> World {
    let world = World::new();
    super::tiny_php(&world);
    world.write("bases/standin.toml", include_str!("standin.toml"));
    world.write("phplayer.toml", "name = \"tiny\"\nphp = \"8.4\"\nbase = \"standin\"\nextensions = []\n");
    world
}

fn zip(world: &World) -> Vec<u8> {
    fs_err::read(world.path(&format!("out/tiny-{}/runtime.zip", Arch::host()))).unwrap()
}

/// What the layer's program says of itself.
fn version(world: &World) -> String {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(zip(world))).unwrap();
    let php = world.path("php-of-the-layer");
    let mut file = fs_err::File::create(&php).unwrap();
    std::io::copy(&mut zip.by_name("bin/php").unwrap(), &mut file).unwrap();
    drop(file);
    fs_err::set_permissions(&php, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    String::from_utf8(Command::new(php).output().unwrap().stdout).unwrap()
}

fn a_plan_is_built_packed_and_audited_and_then_comes_from_the_cache(real: Real) {
    let world = tiny();
    let said = real.run(&world, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("Audit  10 files · 0 objections"), "{}", said.stderr);
    let first = zip(&world);
    for folder in ["home", "out"] {
        fs_err::remove_dir_all(world.path(folder)).unwrap();
    }
    let said = real.run(&world, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("2 steps from the builder's cache"), "{}", said.stderr);
    assert!(!said.stderr.contains("Compile"), "{}", said.stderr);
    assert_eq!(zip(&world), first);
}

/// What is mounted counts, not only what the Dockerfile says.
fn a_source_that_changes_under_its_version_is_compiled_anew(real: Real) {
    let world = tiny();
    assert_eq!(real.run(&world, &["build"]).code, 0);
    assert!(version(&world).contains("8.4.99"));
    let changed = world.path("changed");
    fs_err::create_dir(&changed).unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-php");
    assert!(Command::new("cp").args(["-r", fixture]).arg(&changed).status().unwrap().success());
    let program = changed.join("tiny-php/cli_main.c");
    let text = fs_err::read_to_string(&program).unwrap();
    fs_err::write(&program, text.replace("8.4.99", "8.4.99-changed")).unwrap();
    super::php_from(&world, &changed);
    let said = real.run(&world, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(version(&world).contains("8.4.99-changed"), "{}", said.stderr);
}

/// A mistake in a source is a failing step, shown with what its compiler said, and its log is for people.
fn a_failing_step_shows_what_its_compiler_said(real: Real) {
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
    let said = real.run(&world, &["build"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("lib:broken failed") && said.stderr.contains("b.c:1:"), "{}", said.stderr);
    assert!(said.stderr.contains("phplayer shell --engine container phplayer.toml lib:broken"), "{}", said.stderr);
    let (_, rest) = said.stderr.split_once("the whole log: ").unwrap();
    let log = rest.lines().next().unwrap().strip_prefix("$WORLD/").unwrap();
    let log = fs_err::read_to_string(world.path(log)).unwrap();
    assert!(log.contains("b.c:1:") && !log.contains("\"vertex"), "{log}");
}

fn the_shell_stands_where_the_step_does(real: Real) {
    let world = tiny();
    let mut command = real.command(&world, &["shell", "phplayer.toml", "php:8.4.99"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let keys = b"pwd; ls -a; ls /src; sh .phplayer-step && ls /opt/lib/phplayer; cat /proc/net/dev\n";
    child.stdin.take().unwrap().write_all(keys).unwrap();
    let said = world.said(child.wait_with_output().unwrap());
    assert_eq!(said.code, 0, "{}", said.stderr);
    for part in ["/build", ".phplayer-step", "cli_main.c", "core.a"] {
        assert!(said.stdout.contains(part), "no {part} in {}", said.stdout);
    }
    assert!(!said.stdout.contains("eth0"), "{}", said.stdout);
}

fn an_image_that_cannot_be_had_is_named(real: Real) {
    let world = tiny();
    let base = include_str!("standin.toml").replace("phplayer-standin:bookworm", "127.0.0.1:9/base:1");
    world.write("bases/standin.toml", &base);
    let said = real.run(&world, &["build"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    for part in ["the base image 127.0.0.1:9/base:1 cannot be had", "connection refused"] {
        assert!(said.stderr.contains(part), "no {part} in {}", said.stderr);
    }
}

macro_rules! each_of_them {
    ($($module:ident is $real:expr, $reason:literal;)*) => {$(
        mod $module {
            use super::Real;

            #[test]
            #[ignore = $reason]
            fn a_plan_is_built_packed_and_audited_and_then_comes_from_the_cache() {
                super::a_plan_is_built_packed_and_audited_and_then_comes_from_the_cache($real);
            }

            #[test]
            #[ignore = $reason]
            fn a_source_that_changes_under_its_version_is_compiled_anew() {
                super::a_source_that_changes_under_its_version_is_compiled_anew($real);
            }

            #[test]
            #[ignore = $reason]
            fn a_failing_step_shows_what_its_compiler_said() {
                super::a_failing_step_shows_what_its_compiler_said($real);
            }

            #[test]
            #[ignore = $reason]
            fn the_shell_stands_where_the_step_does() {
                super::the_shell_stands_where_the_step_does($real);
            }

            #[test]
            #[ignore = $reason]
            fn an_image_that_cannot_be_had_is_named() {
                super::an_image_that_cannot_be_had_is_named($real);
            }
        }
    )*};
}

each_of_them! {
    docker is Real::Docker, "needs the builder and the base of tests/run";
    buildx is Real::Buildx, "needs the newer Docker of tests/run";
    podman is Real::Podman, "needs the podman of tests/run";
}

/// podman cannot cut a single step off the network everywhere: the set-up becomes an image of its own.
#[test]
#[ignore = "needs the podman of tests/run"]
fn podman_sets_up_the_base_in_a_call_of_its_own() {
    let world = tiny();
    world.write("bases/standin.toml", &format!("{}setup = [\"touch /set-up\"]\n", include_str!("standin.toml")));
    let said = Real::Podman.run(&world, &["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let logs = fs_err::read_dir(world.path("home/.cache/phplayer/logs")).unwrap();
    let names: Vec<String> = logs.map(|log| log.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("container-tiny-setup-")), "{names:?}");
    world.write("bases/standin.toml", &format!("{}setup = [\"no-such-tool\"]\n", include_str!("standin.toml")));
    let said = Real::Podman.run(&world, &["build"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(
        said.stderr.contains("could not be set up") && said.stderr.contains("no-such-tool: not found"),
        "{}",
        said.stderr
    );
}

/// What `docker buildx bake` makes of the file is what phplayer has the builder make.
#[test]
#[ignore = "needs the newer Docker of tests/run"]
fn a_bake_file_makes_the_same() {
    let world = tiny();
    let recipe = fs_err::read_to_string(world.path("phplayer.toml")).unwrap();
    world.write("phplayer.toml", &format!("engine = \"container\"\n{recipe}"));
    assert_eq!(Real::Buildx.run(&world, &["build"]).code, 0);
    let file = world.run(&["plan", "--format", "bake"]);
    assert_eq!(file.code, 0, "{}", file.stderr);
    let fetched = world.run(&["fetch", "--sources", "sources", "--context", "context"]);
    assert_eq!(fetched.code, 0, "{}", fetched.stderr);
    world.write("context/docker-bake.hcl", &file.stdout);
    let newer = part("BUILDX");
    let mut bake = Command::new(format!("{newer}/usr/bin/docker"));
    bake.args(["buildx", "bake", "--progress=plain"]).current_dir(world.path("context"));
    bake.env("DOCKER_HOST", part("BUILDX_HOST")).env("DOCKER_CONFIG", format!("{newer}/config")).stdin(Stdio::null());
    let baked = bake.output().unwrap();
    assert!(baked.status.success(), "{}", String::from_utf8_lossy(&baked.stderr));
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(zip(&world))).unwrap();
    let mut built = Vec::new();
    std::io::copy(&mut zip.by_name("bin/php").unwrap(), &mut built).unwrap();
    let baked = world.path(&format!("context/out/tiny-{}/bin/php", Arch::host()));
    assert_eq!(fs_err::read(baked).unwrap(), built);
}
