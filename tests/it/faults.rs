//! Builds that are killed, interrupted, raced, starved or broken: afterwards all is well, or the way out is shown.
//!
//! They compile for real, on top of the store that `tests/run` filled: PHP itself is not compiled again.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use phplayer::digest::Digest;

use crate::world::{Said, World};

const RECIPE: &str = "name = \"faults\"\nphp = \"8.4\"\nextensions = [\"ctype\", \"shmop\", \"sysvsem\"]\n";

/// The filled store. Its files are never written to: copies of it share them by hard links.
fn warm_store() -> PathBuf {
    let root = std::env::var_os("PHPLAYER_TEST_STORE").expect("PHPLAYER_TEST_STORE is set: `bash tests/run` does it");
    let root = PathBuf::from(root);
    assert!(root.join("steps").is_dir(), "{} is a filled store: `bash tests/run` fills it", root.display());
    root
}

/// A world with a recipe, and a store of its own without the outputs that the recipe's extensions have.
struct Workplace {
    world: World,
    pristine: BTreeSet<String>,
}

impl Workplace {
    fn new(recipe: &str) -> Self {
        let world = World::new();
        world.write("phplayer.toml", recipe);
        let store = world.path("store");
        fs_err::create_dir_all(&store).unwrap();
        // zig writes into its cache; nothing else is written again once it stands.
        for (folder, how) in [("steps", "-al"), ("trees", "-al"), ("sources", "-al"), ("zig-cache", "-a")] {
            let copied = Command::new("cp").arg(how).arg(warm_store().join(folder)).arg(&store).status().unwrap();
            assert!(copied.success(), "the store can be copied by hard links: TMPDIR is on its file system");
        }
        let mut place = Self { world, pristine: BTreeSet::new() };
        // What the warm store may know from elsewhere is forgotten: these tests are about compiling it.
        let kinds = ["ext:shmop", "ext:sysvsem", "ext:broken", "link"];
        for key in place.steps() {
            let inputs = fs_err::read_to_string(place.world.path("store/steps").join(&key).join("inputs")).unwrap();
            if kinds.iter().any(|kind| inputs.contains(&format!("\"kind\": \"{kind}\""))) {
                fs_err::remove_dir_all(place.world.path("store/steps").join(&key)).unwrap();
            }
        }
        place.pristine = place.steps();
        place
    }

    fn steps(&self) -> BTreeSet<String> {
        let entries = fs_err::read_dir(self.world.path("store/steps")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Back to where the recipe's extensions are not built, and nothing was packed.
    fn forget(&self) {
        for key in self.steps().difference(&self.pristine) {
            fs_err::remove_dir_all(self.world.path("store/steps").join(key)).unwrap();
        }
        let _ = fs_err::remove_dir_all(self.world.path("out"));
    }

    fn command(&self) -> Command {
        let mut command = self.world.command(&["build", "--offline", "--store", "store"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        command
    }

    fn build(&self) -> Said {
        self.world.said(self.command().output().unwrap())
    }

    fn zip(&self) -> Digest {
        let folder = format!("out/faults-{}", phplayer::target::Arch::host());
        Digest::of_file(&self.world.path(&folder).join("runtime.zip")).unwrap()
    }

    /// Processes that still work in this store.
    fn survivors(&self) -> Vec<String> {
        let store = fs_err::canonicalize(self.world.path("store")).unwrap();
        let store = store.to_str().unwrap();
        let processes = fs_err::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|entry| fs_err::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| line.contains(store) && line.contains("bwrap")).collect()
    }
}

/// Waits for something that another process does; fails after half a minute.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::yield_now();
    }
}

#[test]
#[ignore = "compiles: bash tests/run"]
fn twenty_killed_builds_are_each_followed_by_one_that_ends_the_same() {
    let place = Workplace::new(RECIPE);
    let start = Instant::now();
    let said = place.build();
    assert_eq!(said.code, 0, "{}", said.stderr);
    let whole = start.elapsed();
    let expected = place.zip();

    // A fixed seed: twenty points spread over the whole of a build, the same in every run.
    let mut state = 0x2026_u64;
    for round in 0..20 {
        place.forget();
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = (state >> 33) as f64 / f64::from(u32::MAX >> 1);
        let mut child = place.command().spawn().unwrap();
        std::thread::sleep(whole.mul_f64(share));
        child.kill().unwrap();
        child.wait().unwrap();
        eventually("the steps of a killed build die with it", || place.survivors().is_empty());

        let said = place.build();
        assert_eq!(said.code, 0, "round {round}, killed at {share:.2}: {}", said.stderr);
        assert_eq!(place.zip(), expected, "round {round}, killed at {share:.2}");
    }
    let drafts: Vec<_> = fs_err::read_dir(place.world.path("store/tmp")).unwrap().collect();
    assert!(drafts.is_empty(), "what killed builds left is swept: {drafts:?}");
}

#[test]
#[ignore = "compiles: bash tests/run"]
fn two_builds_at_once_share_the_store_and_compile_each_step_once() {
    let place = Workplace::new(RECIPE);
    let spawn = |out: &str| {
        let mut command = place.command();
        command.args(["--out", out]);
        command.spawn().unwrap()
    };
    let (one, two) = (spawn("one"), spawn("two"));
    let one = place.world.said(one.wait_with_output().unwrap());
    let two = place.world.said(two.wait_with_output().unwrap());
    assert_eq!((one.code, two.code), (0, 0), "{}\n{}", one.stderr, two.stderr);
    let zip = |out: &str| {
        let folder = format!("{out}/faults-{}", phplayer::target::Arch::host());
        Digest::of_file(&place.world.path(&folder).join("runtime.zip")).unwrap()
    };
    assert_eq!(zip("one"), zip("two"));
    let logs: Vec<_> = fs_err::read_dir(place.world.path("store/logs")).unwrap().collect();
    assert_eq!(logs.len(), place.steps().difference(&place.pristine).count(), "one log a step: each ran once");
}

#[test]
#[ignore = "compiles: bash tests/run"]
fn an_interrupted_build_says_so_and_leaves_no_process() {
    let place = Workplace::new(RECIPE);
    let child = place.command().spawn().unwrap();
    eventually("a step starts", || !place.survivors().is_empty());
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let said = place.world.said(child.wait_with_output().unwrap());
    assert_eq!(said.code, 130, "{}", said.stderr);
    assert!(said.stderr.contains("interrupted; what was finished stays in the store"), "{}", said.stderr);
    eventually("its steps are gone", || place.survivors().is_empty());
    assert_eq!(place.build().code, 0);
}

#[test]
#[ignore = "compiles: bash tests/run"]
fn a_failing_step_shows_its_last_lines_its_log_and_the_way_in() {
    let place = Workplace::new("name = \"faults\"\nphp = \"8.4\"\nextensions = [\"broken\"]\n");
    place.world.write("src/broken-1.0/broken.c", "#include \"php.h\"\nint broken(void) { return no_such_name; }\n");
    let mut tar = Command::new("tar");
    tar.args(["-czf", "broken-1.0.tar.gz", "-C", "src", "broken-1.0"]).current_dir(place.world.path("."));
    let tar = tar.status().unwrap();
    assert!(tar.success());
    let sha256 = Digest::of_file(&place.world.path("broken-1.0.tar.gz")).unwrap();
    let definition = format!(
        "name = \"broken\"\nsummary = \"Broken\"\n[build]\nsources = [\"broken.c\"]\n\
         [[release]]\nversion = \"1.0\"\n[[release.source]]\nsha256 = \"{sha256}\"\n\
         urls = [\"https://example.invalid/broken-1.0.tar.gz\"]\n"
    );
    place.world.write("php-extensions/broken.toml", &definition);
    let mut command = place.command();
    command.args(["--sources", "."]);
    let said = place.world.said(command.output().unwrap());
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("ext:broken failed"), "{}", said.stderr);
    assert!(
        said.stderr.contains("‘no_such_name’ undeclared") || said.stderr.contains("'no_such_name' undeclared"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("$WORLD/store/logs/ext-broken-"), "{}", said.stderr);
    assert!(said.stderr.contains("phplayer shell phplayer.toml ext:broken"), "{}", said.stderr);

    let mut shell = place.world.command(&["shell", "phplayer.toml", "ext:broken", "--store", "store", "--offline"]);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    let typed = "sh .phplayer-step; echo code $?; ls /src/ext | head -3; ls /pecl\nexit 0\n";
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), typed.as_bytes()).unwrap();
    let said = place.world.said(shell.wait_with_output().unwrap());
    let all = format!("{}{}", said.stdout, said.stderr);
    assert!(all.contains("no_such_name") && all.contains("broken.c"), "{all}");
}

#[test]
#[ignore = "needs a mount of its own: bash tests/run"]
fn a_full_disk_is_said_to_be_full() {
    let world = World::new();
    world.write("phplayer.toml", RECIPE);
    fs_err::create_dir_all(world.path("store")).unwrap();
    let sources = warm_store().join("sources");
    // A folder of the archives themselves, as PHPLAYER_SOURCES wants them.
    fs_err::create_dir_all(world.path("archives")).unwrap();
    for entry in fs_err::read_dir(sources).unwrap().flatten() {
        let Ok(files) = fs_err::read_dir(entry.path()) else { continue };
        for file in files.flatten() {
            let target = world.path("archives").join(file.file_name());
            fs_err::os::unix::fs::symlink(file.path(), target).unwrap();
        }
    }
    let script =
        "mount -t tmpfs -o size=40m tmpfs store && exec \"$0\" build --store store --offline --sources archives";
    let mut command = world.command(&[]);
    let program = command.get_program().to_owned();
    command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script]).arg(program).current_dir(world.path("."));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", world.path("home")).env("CI", "1");
    let said = world.said(command.output().unwrap());
    assert!(said.code == 1 || said.code == 3, "{}", said.stderr);
    assert!(said.stderr.to_lowercase().contains("no space"), "{}", said.stderr);
    assert!(said.stderr.contains("free some") || said.stderr.contains("another"), "the way out: {}", said.stderr);
}
