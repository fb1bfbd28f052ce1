//! What the machine lacks or forbids: exit code 3, and the command that mends it.

use crate::world::World;

fn recipe(world: &World) {
    world.write("phplayer.toml", "name = \"small\"\nphp = \"8.4\"\nextensions = [\"ctype\"]\n");
}

#[test]
fn without_gcc_a_build_names_the_package() {
    let world = World::new();
    recipe(&world);
    fs_err::create_dir_all(world.path("bin")).expect("made");
    let mut command = world.command(&["build"]);
    command.env("PATH", world.path("bin"));
    let said = world.said(command.output().expect("phplayer starts"));
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("this machine lacks") && said.stderr.contains("gcc"), "{}", said.stderr);
    assert!(said.stderr.contains("phplayer build --setup"), "{}", said.stderr);
    assert_eq!(said.stdout, "");
}

#[test]
fn a_store_that_cannot_be_written_is_named_with_the_way_out() {
    let world = World::new();
    recipe(&world);
    world.write("store", "a file, not a folder");
    let said = world.run(&["build", "--store", "store"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("the store store cannot be written"), "{}", said.stderr);
    assert!(said.stderr.contains("--store or PHPLAYER_STORE"), "{}", said.stderr);
}

#[test]
fn offline_without_sources_names_what_is_missing() {
    let world = World::new();
    recipe(&world);
    let said = world.run(&["build", "--offline"]);
    assert!(said.code == 1 || said.code == 3, "{}", said.stderr);
    assert!(said.stderr.contains("zig 0.15.2") && said.stderr.contains("phplayer fetch"), "{}", said.stderr);
}

#[test]
fn doctor_says_what_mends_each_lack() {
    let world = World::new();
    fs_err::create_dir_all(world.path("bin")).expect("made");
    let mut command = world.command(&["doctor"]);
    command.env("PATH", world.path("bin"));
    let said = world.said(command.output().expect("phplayer starts"));
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stdout.contains("fail  build tools: no bwrap"), "{}", said.stdout);
    assert!(said.stdout.contains("apt-get install"), "{}", said.stdout);
}

#[test]
fn help_goes_to_stdout_and_every_verb_has_examples() {
    let world = World::new();
    let verbs = [
        "new", "build", "plan", "fetch", "lock", "shell", "audit", "invoke", "serve", "bench", "publish", "list",
        "doctor", "generate",
    ];
    for verb in verbs {
        let said = world.run(&[verb, "--help"]);
        assert_eq!(said.code, 0, "{verb}: {}", said.stderr);
        assert!(said.stdout.contains("Examples:"), "{verb}: {}", said.stdout);
        assert_eq!(said.stderr, "", "{verb}");
    }
}

#[test]
fn completions_and_schemas_keep_stderr_empty() {
    let world = World::new();
    for arguments in [&["generate", "completions", "bash"][..], &["generate", "schema", "recipe"], &["list", "php"]] {
        let said = world.run(arguments);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(!said.stdout.is_empty(), "{arguments:?}");
    }
}
