//! The order of the rooms: a module imports only what stands below it, and some crates have one room only.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use std::path::{Path, PathBuf};

/// From the top. `src/lib.rs` declares them in this order too.
const ROOMS: [&str; 27] = [
    "cli",
    "commands",
    "failure",
    "console", // talk
    "publish",
    "bench",
    "emulator",
    "audit", // send and judge
    "layer",
    "vendor",
    "engine",
    "toolchain", // make
    "plan",      // decide
    "lockfile",
    "catalogue",
    "source",
    "recipe", // what was written down
    "remote",
    "elf",
    "archive",
    "store",
    "process",
    "progress",
    "aws",
    "target",
    "digest",
    "address", // ground
];

/// Where a crate, or a part of std, may be named. A path stands for the file and for the folder of that name.
const ONLY_IN: [(&str, &[&str]); 10] = [
    ("tokio::", &["publish", "emulator", "remote/bucket"]),
    ("aws_sdk_lambda::", &["publish"]),
    ("aws_sdk_s3::", &["remote/bucket"]),
    ("ureq::", &["source/http"]),
    ("tar::", &["archive"]),
    ("object::", &["elf"]),
    ("duct::", &["process", "emulator/sandbox"]),
    ("jobserver::", &["engine/local/jobs"]),
    ("indicatif::", &["console"]),
    (
        "std::process::Command",
        // The first runs all but: the compiler's and the bench's own exec, the package clients, one token's variables, a function.
        &["process", "toolchain/cc", "source/command", "engine/local/jobs", "emulator", "bench/role"],
    ),
];

fn sources() -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    walkdir::WalkDir::new(&src)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "rs"))
        .map(|entry| entry.path().strip_prefix(&src).unwrap().to_owned())
        .filter(|path| !path.starts_with("bootstrap"))
        .map(|path| (path.clone(), fs_err::read_to_string(src.join(&path)).unwrap()))
        .collect()
}

/// The text before a file's unit tests: those may use what they like.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

fn room(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn a_room_imports_only_what_stands_below_it() {
    let place = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(own) = place(&room(&path)) else { continue };
        for piece in product(&text).split("crate::").skip(1) {
            let name: String = piece.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            if place(&name).is_some_and(|other| other < own) {
                wrong.push(format!("{} imports {name}, which stands above it", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_is_in_the_list_and_declared_in_its_order() {
    let lib = fs_err::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(declared, ROOMS);
}

#[test]
fn verbs_do_not_import_each_other() {
    let verbs: Vec<String> = sources()
        .iter()
        .filter_map(|(path, _)| Some(path.strip_prefix("commands").ok()?.to_str()?.strip_suffix(".rs")?.to_owned()))
        .filter(|name| !name.contains('/') && !["chosen", "event", "function", "setup"].contains(&name.as_str()))
        .collect();
    assert!(verbs.len() >= 13, "{verbs:?}");
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("commands")) {
        for verb in &verbs {
            let own = path.starts_with(format!("commands/{verb}")) || path.ends_with(format!("{verb}.rs"));
            let imports = text.contains(&format!("super::{verb}::")) || text.contains(&format!("commands::{verb}"));
            assert!(own || !imports, "{} imports the verb {verb}", path.display());
        }
    }
}

#[test]
fn some_crates_have_one_room_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let stem = path.with_extension("");
        for (name, places) in ONLY_IN {
            let named = product(&text).lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.match_indices(name).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
            });
            if named && !places.iter().any(|place| stem.starts_with(place)) {
                wrong.push(format!("{} names {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_called_after_nothing() {
    for (path, _) in sources() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(!["utils", "util", "common", "helpers", "misc", "mod"].contains(&name.as_str()), "{}", path.display());
    }
}
