//! A build without a network: another recipe from a warm store compiles what is new, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::parts::{Task, part, phplayer, run, system, text};

const RECIPE: &str = r#"
name = "offline"
php = "8.4"
extensions = ["ctype", "mbstring", "openssl", "calendar"]
"#;

#[test]
#[ignore = "needs the store that tests/run has filled"]
fn the_next_recipe_is_built_with_the_network_cut() {
    // What zig writes anew in place is copied; all else is written once, so hard links do.
    let warm = PathBuf::from(part("STORE"));
    let store = tempfile::tempdir().unwrap();
    for folder in ["sources", "trees", "steps"] {
        system("cp", ["-al".as_ref(), warm.join(folder).as_path(), store.path()]);
    }
    system("cp", ["-a".as_ref(), warm.join("zig-cache").as_path(), store.path()]);

    let home = tempfile::tempdir().unwrap();
    let recipe = home.path().join("offline.toml");
    fs::write(&recipe, RECIPE).unwrap();
    let (recipe, store, out) = (text(&recipe), text(store.path()), home.path().join("out"));
    forget(recipe, store);
    run(&mut phplayer(&["fetch", "--store", store, recipe])).answer();

    let mut build = Command::new("unshare");
    build.args(["--map-root-user", "--net", env!("CARGO_BIN_EXE_phplayer")]);
    build.args(["build", "--offline", "--store", store, "--out", text(&out), recipe]);
    let built = run(&mut build);
    assert_eq!(built.compiled(), ["ext:calendar", "link:offline"], "{}", built.stderr);
    assert!(built.answer().contains("/runtime.zip"));

    let task =
        Task::of("leap.php", "<?php function leap($year) { return cal_days_in_month(CAL_GREGORIAN, 2, $year); }");
    let layer = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path().join("runtime.zip");
    let mut invoke = phplayer(&["invoke", "2024", "--handler", "leap"]);
    invoke.arg("--task").arg(task.path()).arg("--layer").arg(layer);
    assert_eq!(run(&mut invoke).answer().trim(), "29");
}

/// Takes out of the store what another recipe may have left there of this one's own steps.
fn forget(recipe: &str, store: &str) {
    let plans = run(&mut phplayer(&["plan", "--format", "json", recipe])).json();
    for step in plans[0]["steps"].as_array().unwrap() {
        if ["ext:calendar", "link:offline"].contains(&step["id"].as_str().unwrap()) {
            let kept = Path::new(store).join("steps").join(step["key"].as_str().unwrap());
            if kept.exists() {
                fs::remove_dir_all(kept).unwrap();
            }
        }
    }
}
