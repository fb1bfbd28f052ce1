//! Layers for Graviton, cross-compiled: what a user sees where something is missing, what was decided for each step, and
//! the built layer itself, started by qemu over arm64's glibc.
//!
//! tests/run builds the layer and says where it is: `PHPLAYER_TEST_ARM64_OUT`.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};

use phplayer::catalogue::Catalogue;
use phplayer::layer::bootstrap;
use phplayer::plan::{self, Plan};
use phplayer::recipe;
use phplayer::target::{Arch, Base, Target};

use crate::world::World;

mod built;

fn decided(arch: Arch) -> Plan {
    let world = World::new();
    let file = world.write("a.toml", "name = \"a\"\nphp = \"8.4\"\nextensions = [\"ctype\", \"curl\", \"opcache\"]\n");
    let recipe = recipe::load(&file).unwrap();
    let target = Target { arch, base: Base::Al2023 };
    plan::resolve(&recipe, &Catalogue::embedded().unwrap(), None, target, "the same compiler").unwrap()
}

#[test]
fn no_step_of_one_architecture_is_taken_for_the_others() {
    let keys = |arch| -> BTreeSet<String> { decided(arch).steps.iter().map(|step| step.key.to_string()).collect() };
    let (x86, arm) = (keys(Arch::X86_64), keys(Arch::Arm64));
    assert_eq!(x86.len(), arm.len());
    assert_eq!(x86.intersection(&arm).count(), 0);
}

#[test]
fn a_step_says_what_it_is_for_and_answers_what_cannot_be_asked() {
    let of = |arch| -> BTreeMap<String, String> {
        let plan = decided(arch);
        plan.steps.iter().find(|step| step.id.to_string() == "ext:opcache").unwrap().environment.clone()
    };
    let (x86, arm) = (of(Arch::X86_64), of(Arch::Arm64));
    assert_eq!((x86["HOST"].as_str(), arm["HOST"].as_str()), ("x86_64-linux-gnu", "aarch64-linux-gnu"));
    assert_eq!(arm["php_cv_shm_mmap_posix"], "yes");
    assert!(!x86.contains_key("php_cv_shm_mmap_posix"), "x86_64 is built where it can be asked");
    // Reached directly, glibc's `environ` becomes a copy that `setenv` does not reach.
    assert!(arm["CFLAGS"].contains("-fpie") && x86["CFLAGS"].contains("-fno-pie"));
    assert!(arm["CFLAGS"].contains("-mno-outline-atomics"), "zig's library lacks some of gcc's helpers");
}

#[test]
fn a_machine_without_the_cross_tools_is_told_their_packages() {
    let world = World::new();
    fs_err::create_dir_all(world.path("bin")).unwrap();
    let mut command = world.command(&["doctor", "--arch", "arm64"]);
    command.env("PATH", world.path("bin"));
    let said = world.said(command.output().unwrap());
    assert_eq!(said.code, 3, "{}", said.stderr);
    if Arch::host() == Arch::X86_64 {
        assert!(said.stdout.contains("no bwrap"), "{}", said.stdout);
        for package in ["binutils-aarch64-linux-gnu", "gcc-aarch64-linux-gnu", "qemu-user-static"] {
            assert!(said.stdout.contains(package), "{package}: {}", said.stdout);
        }
    }
}

#[test]
fn a_build_without_its_parts_ends_before_anything_is_compiled() {
    let world = World::new();
    world.write("phplayer.toml", "name = \"small\"\nphp = \"8.4\"\nextensions = []\n");
    fs_err::create_dir_all(world.path("bin")).unwrap();
    let mut command = world.command(&["build", "--arch", "arm64"]);
    command.env("PATH", world.path("bin"));
    let said = world.said(command.output().unwrap());
    assert_eq!(said.code, 3, "{}", said.stderr);
    let expected: &[&str] = match bootstrap::for_arch(Arch::Arm64) {
        None => &["carries no bootstrap for arm64", "rustup target add aarch64-unknown-linux-musl", "README.md"],
        Some(_) => &["this machine lacks", "gcc", "phplayer build --setup"],
    };
    let seen = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "");
    for part in expected {
        assert!(seen.contains(part), "no {part} in {}", said.stderr);
    }
    assert!(!world.path("home/.cache").exists(), "nothing was begun");
}
