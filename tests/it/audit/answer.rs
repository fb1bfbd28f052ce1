//! What the command answers: in which form, for which architectures, and to mistakes.

use std::path::Path;

use phplayer::audit::{Reports, Rule};
use phplayer::commands::audit::{Args, Format, render, reports};
use phplayer::failure::Kind;
use phplayer::target::Arch;

use super::layer::{Layer, written};

fn args(subject: &Path) -> Args {
    Args {
        subjects: vec![subject.to_owned()],
        base: None,
        arch: None,
        allow: vec![],
        format: Format::Text,
        rules: false,
    }
}

#[test]
fn the_command_judges_an_arm64_layer_for_arm64_and_a_vendor_layer_for_both() {
    let (_folder, path) = written(&Layer::new().elf("lib/a.so", "arm64.so").bytes());
    assert!(!reports(&args(&path)).expect("reports").objects());
    let x86_64 = Args { arch: Some(Arch::X86_64), ..args(&path) };
    assert!(reports(&x86_64).expect("reports").objects());

    let both = [("kind", serde_json::json!("vendor")), ("arch", serde_json::json!(["x86_64", "arm64"]))];
    let (_folder, path) = written(&Layer::new().manifest(&both).file("vendor/autoload.php", 0o644, b"<?php").bytes());
    let answer = reports(&args(&path)).expect("reports");
    assert_eq!(answer.iter().map(|report| report.target.arch).collect::<Vec<_>>(), Arch::ALL);
    assert!(!answer.objects());
}

#[test]
fn a_wrong_rule_or_a_missing_file_is_the_users_mistake() {
    let (_folder, path) = written(&Layer::runtime().bytes());
    let misspelt = Args { allow: vec!["executable-stak=x".to_owned()], ..args(&path) };
    let failure = reports(&misspelt).expect_err("no such rule");
    assert_eq!(failure.kind, Kind::Input);
    assert_eq!(failure.report.to_string(), "no rule is called `executable-stak`");
    let help = failure.report.help().expect("help").to_string();
    assert_eq!(help, "Did you mean `executable-stack`? `phplayer audit --rules` lists them all.");

    let failure = reports(&args(&path.with_file_name("nothing.zip"))).expect_err("no such file");
    assert_eq!(failure.kind, Kind::Input);
    assert!(failure.report.to_string().starts_with("cannot read "), "{}", failure.report);
}

#[test]
fn the_schema_checked_in_is_the_one_generated() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/audit/report.schema.json");
    if std::env::var_os("PHPLAYER_BLESS").is_some() {
        fs_err::write(&path, Reports::schema()).expect("a file");
    }
    let checked_in = fs_err::read_to_string(&path).expect("the schema");
    assert_eq!(checked_in, Reports::schema(), "`PHPLAYER_BLESS=1 cargo test` writes it anew");
}

#[test]
fn json_has_the_promised_form() {
    let (_folder, path) = written(&Layer::new().elf("lib/stack.so", "execstack.so").bytes());
    let answer = render(&reports(&args(&path)).expect("reports"), Format::Json);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["schema"], 1);
    assert_eq!(answer["objects"], true);
    let report = &answer["reports"][0];
    assert_eq!(report["subject"]["kind"], "zip");
    assert_eq!(report["target"], serde_json::json!({ "arch": "x86_64", "base": "al2023" }));
    assert_eq!(
        report["findings"],
        serde_json::json!([{
            "rule": "executable-stack",
            "level": "error",
            "file": "lib/stack.so",
            "message": "it asks for an executable stack",
            "explain": Rule::ExecutableStack.explain(),
            "help": Rule::ExecutableStack.help(),
        }])
    );
}

#[test]
fn sarif_results_refer_to_rules_and_carry_waivers() {
    let (_folder, path) = written(&Layer::new().elf("lib/stack.so", "execstack.so").elf("lib/v3.so", "v3.so").bytes());
    let waived = Args { allow: vec!["isa-level=only on new machines".to_owned()], ..args(&path) };
    let answer = render(&reports(&waived).expect("reports"), Format::Sarif);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["version"], "2.1.0");
    let run = &answer["runs"][0];
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 2);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        assert!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].is_string());
    }
    assert_eq!(results[0]["message"]["text"], "lib/stack.so: it asks for an executable stack");
    assert_eq!(results[0]["suppressions"], serde_json::json!([]));
    assert_eq!(results[1]["suppressions"][0]["justification"], "only on new machines");
}
