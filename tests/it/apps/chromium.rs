//! A real browser: what it makes of a page, as a document and as a picture under target/tests/ for people to look at.
#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

use std::path::Path;
use std::process::Command;

use crate::lamp::parts::{part, run};

/// The document after its scripts have run; NAME.png is the picture.
pub fn look(url: &str, name: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let picture = Path::new(&part("PICTURES")).join(format!("{name}.png"));
    let mut chromium = Command::new("chromium");
    chromium.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-sync",
    ]);
    chromium.args(["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]);
    chromium.arg(format!("--user-data-dir={}", profile.path().display()));
    chromium.env("HOME", profile.path());
    chromium.args(["--hide-scrollbars", "--window-size=1280,900", "--virtual-time-budget=10000", "--timeout=60000"]);
    chromium.arg(format!("--screenshot={}", picture.display()));
    run(chromium.args(["--dump-dom", url])).answer()
}
