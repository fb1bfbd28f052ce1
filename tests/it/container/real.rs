//! A real BuildKit and a stand-in for Amazon's image: tests/run starts the one and makes the other.

use std::process::Command;

use crate::world::World;

/// `phplayer build` of a recipe in the stand-in base, with a store of its own, so that only the builder's cache is shared.
fn build(name: &str, extensions: &str, check: impl Fn(&World)) -> String {
    let world = World::new();
    let part =
        |name: &str| std::env::var(format!("PHPLAYER_TEST_{name}")).unwrap_or_else(|_| panic!("tests/run sets {name}"));
    world.write(
        "bases/standin.toml",
        &format!(
            "name = \"standin\"\nsummary = \"Debian in Amazon Linux's place\"\nimage = \"{}\"\n\
             runtime = \"provided.al2023\"\nglibc = \"2.36\"\npolicy = \"al2023\"\n",
            part("STANDIN")
        ),
    );
    world.write(
        "phplayer.toml",
        &format!("name = \"{name}\"\nphp = \"8.4\"\nbase = \"standin\"\nextensions = [{extensions}]\n"),
    );
    let mut command = world.command(&["build", "--builder", "docker", "--sources", &part("ARCHIVES")]);
    // Debian's own client: another `docker` may come first.
    command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("DOCKER_HOST", part("DOCKER"));
    let said = world.said(command.output().unwrap());
    assert_eq!(said.code, 0, "{}", said.stderr);
    check(&world);
    said.stderr
}

fn folder(name: &str) -> String {
    format!("out/{name}-{}", phplayer::target::Arch::host())
}

/// The layer's own audit passed for the base that it is for; against Amazon Linux it is told that it is for another.
fn judged(world: &World, name: &str) {
    let zip = format!("{}/runtime.zip", folder(name));
    let said = world.run(&["audit", "--base", "standin", &zip]);
    assert_eq!(said.code, 0, "{}", said.stdout);
    let said = world.run(&["audit", &zip]);
    assert!(said.code == 1 && said.stdout.contains("standin"), "{}", said.stdout);
}

/// The layer's function answers in our emulator.
fn answers(world: &World, name: &str) {
    world.write(
        "task/index.php",
        "<?php return fn (array $event) => ['php' => PHP_VERSION, 'got' => $event, 'ext' => get_loaded_extensions()];",
    );
    let zip = format!("{}/runtime.zip", folder(name));
    let said = world.run(&["invoke", r#"{"page":2}"#, "--layer", &zip, "--task", "task", "--handler", "index"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let answer: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(answer["got"]["page"], 2, "{answer}");
}

#[test]
#[ignore = "needs BuildKit and the stand-in base: bash tests/run"]
fn a_recipe_is_built_in_the_base_and_a_second_time_from_the_builders_cache() {
    let check = |world: &World| {
        judged(world, "contained");
        answers(world, "contained");
    };
    build("contained", "\"ctype\", \"mbstring\", \"openssl\", \"opcache\"", check);
    let start = std::time::Instant::now();
    let said = build("contained", "\"ctype\", \"mbstring\", \"openssl\", \"opcache\"", check);
    assert!(said.contains("from the builder's cache") && !said.contains("Compile"), "{said}");
    assert!(start.elapsed().as_secs() < 120, "a build from the cache takes seconds, not {:?}", start.elapsed());
}

#[test]
#[ignore = "needs BuildKit and the stand-in base: bash tests/run"]
fn the_shell_stands_where_the_step_does() {
    let world = World::new();
    let part = |name: &str| std::env::var(format!("PHPLAYER_TEST_{name}")).unwrap();
    world.write(
        "bases/standin.toml",
        &format!(
            "name = \"standin\"\nsummary = \"x\"\nimage = \"{}\"\nruntime = \"provided.al2023\"\nglibc = \"2.36\"\npolicy = \"al2023\"\n",
            part("STANDIN")
        ),
    );
    world.write("phplayer.toml", "name = \"s\"\nphp = \"8.4\"\nbase = \"standin\"\nextensions = [\"zlib\"]\n");
    let words = [
        "shell",
        "--engine",
        "container",
        "--builder",
        "docker",
        "--sources",
        &part("ARCHIVES"),
        "phplayer.toml",
        "lib:zlib",
    ];
    let mut command: Command = world.command(&words);
    command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("DOCKER_HOST", part("DOCKER"));
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"pwd; ls -a; ls /src | head -3; $CC --version\n")
        .unwrap();
    let said = world.said(child.wait_with_output().unwrap());
    assert_eq!(said.code, 0, "{}", said.stderr);
    for part in ["/build", ".phplayer-step", "ChangeLog", "gcc (Debian"] {
        assert!(said.stdout.contains(part), "no {part} in {}", said.stdout);
    }
}
