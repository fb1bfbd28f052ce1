//! The example events of the crate `aws_lambda_events`, read from its sources.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Their files: cargo knows where it has put the sources of our dev-dependency.
pub fn examples() -> Vec<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let metadata = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform"])
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .arg("--manifest-path")
        .arg(manifest)
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo metadata");
    let package =
        metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "aws_lambda_events");
    let manifest = Path::new(package.unwrap()["manifest_path"].as_str().unwrap()).to_owned();
    let folder = manifest.parent().unwrap().join("src/fixtures");
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect()
}
