//! The layers that `phplayer build` has made: what a second build does, what the audit says, what they hold.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use fs_err as fs;
use phplayer::digest::Digest;
use phplayer::elf;
use serde_json::Value;

use super::parts::{Ran, built, phplayer, run, unzipped};

const ZIPS: [&str; 2] = ["runtime.zip", "vendor.zip"];

/// Builds the recipe again; `out` becomes the output folder.
fn build(out: &std::path::Path) -> Ran {
    run(phplayer(&["build", "recipes/php-84.toml", "--offline", "--out"]).arg(out))
}

fn digests(folder: &std::path::Path) -> Vec<String> {
    ZIPS.map(|zip| Digest::of_file(&folder.join(zip)).unwrap().to_string()).into()
}

#[test]
#[ignore = "needs the layers that tests/run builds"]
fn an_unchanged_recipe_is_neither_compiled_nor_packed_again() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join(built("").file_name().unwrap());
    fs::create_dir(&folder).unwrap();
    for file in ["runtime.zip", "vendor.zip", "manifest.json"] {
        fs::copy(built(file), folder.join(file)).unwrap();
    }
    let before = digests(&folder);
    let again = build(out.path());
    assert_eq!(again.compiled(), [""; 0]);
    assert!(!again.stderr.contains("Pack "), "{}", again.stderr);
    let table = again.answer();
    assert!(table.contains("of 250 MiB") && before.iter().all(|digest| table.contains(digest)), "{table}");
    assert_eq!(digests(&folder), before);
}

#[test]
#[ignore = "needs the layers that tests/run builds"]
fn packing_again_elsewhere_gives_the_same_bytes() {
    let out = tempfile::tempdir().unwrap();
    let again = build(out.path());
    assert_eq!(again.compiled(), [""; 0]);
    assert_eq!(again.stderr.matches("Pack ").count(), 2, "{}", again.stderr);
    let folder = out.path().join(built("").file_name().unwrap());
    assert_eq!(digests(&folder), digests(&built("")));
}

#[test]
#[ignore = "needs the layers that tests/run builds"]
fn the_audit_has_no_objection() {
    let report = run(phplayer(&["audit", "--format", "json"]).args(ZIPS.map(built))).json();
    assert_eq!(report["objects"], false, "{report:#}");
    let reports = report["reports"].as_array().unwrap();
    assert_eq!(reports.len(), 3, "runtime.zip, and vendor.zip for each architecture: {report:#}");
    let findings = || reports.iter().flat_map(|report| report["findings"].as_array().unwrap());
    assert_eq!(findings().collect::<Vec<&Value>>(), Vec::<&Value>::new());
}

#[test]
#[ignore = "needs the layers that tests/run builds"]
fn php_asks_for_no_glibc_newer_than_amazon_linux_has() {
    let facts = elf::read(&unzipped(&built("runtime.zip"), "bin/php")).unwrap();
    let dynamic = facts.dynamic.unwrap();
    let versions = dynamic.versions_needed.iter().filter_map(|need| need.version.strip_prefix("GLIBC_"));
    let numbers = |version: &str| version.split('.').map(|number| number.parse().unwrap()).collect::<Vec<u32>>();
    let newest = versions.map(numbers).max().unwrap();
    assert!(newest <= vec![2, 34], "{newest:?}");
    // All else is linked in.
    let glibc = ["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2"];
    let others: Vec<_> =
        dynamic.needed.iter().filter(|name| !name.starts_with("ld-linux") && !glibc.contains(&name.as_str())).collect();
    assert_eq!(others, Vec::<&String>::new());
}
