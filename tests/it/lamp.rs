//! What it all ends on: recipes/php-84.toml as built by `phplayer build`, examples/lamp on it, and real parts around it.
//!
//! tests/run builds the layers, starts the parts, says in `PHPLAYER_TEST_*` where they are, and runs these tests too.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use serde_json::{Value, json};

mod layers;
mod offline;
pub mod parts;
mod php;
pub mod rie;

use parts::{Task, built, get, part, phplayer, run, serve};
use rie::Rie;

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn the_function_lists_the_tables_over_verified_tls() {
    let task = Task::lamp("ca.pem");
    let answer = run(task.phplayer("invoke", "index").arg(r#"{"page": 2}"#)).json();
    assert_eq!(answer, json!({ "tables": ["customers", "orders"], "encrypted": true, "asked": { "page": 2 } }));
}

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn a_server_that_another_authority_vouches_for_is_refused() {
    let task = Task::lamp("other-ca.pem");
    let refused = run(&mut task.phplayer("invoke", "index"));
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let error: Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!(error["errorType"], "mysqli_sql_exception", "{error}");
    assert!(refused.stderr.contains("certificate verify failed"), "{}", refused.stderr);
}

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn the_site_shows_the_tables() {
    let task = Task::lamp("ca.pem");
    let (server, url) = serve(&task, "public/index.php");
    let manifest: Value = serde_json::from_slice(&fs_err::read(built("manifest.json")).unwrap()).unwrap();
    let title = format!("<h1>PHP {} on fpm-fcgi</h1>", manifest["php"].as_str().unwrap());
    // Twice: the second request meets what the first has left behind.
    for page in [get(&url), get(&url)] {
        for part in [title.as_str(), "<li>customers</li>", "<li>orders</li>"] {
            assert!(page.contains(part), "no {part} in {page}");
        }
    }
    assert_eq!(server.end(), Some(0));
}

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn the_official_emulator_gives_the_same_answers() {
    for authority in ["ca.pem", "other-ca.pem"] {
        let task = Task::lamp(authority);
        let rie = Rie::start(&task, "index");
        for event in [r#"{"page":2}"#, "null", r#"["ü", 1.5, {"deep": []}]"#] {
            let ours = run(task.phplayer("invoke", "index").arg(event));
            assert_eq!(rie.invoke(event), ours.stdout.trim_end_matches('\n'), "{event} with {authority}");
        }
    }
}

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn both_layers_are_published_once() {
    let endpoint = part("MINISTACK");
    let (runtime, vendor) = (built("runtime.zip"), built("vendor.zip"));
    let publish = || {
        let words = ["publish", "--region", "eu-north-1", "--endpoint-url", &endpoint, "--format", "json"];
        let mut command = phplayer(&words);
        command.args([&runtime, &vendor]).env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        let answer = run(&mut command).json();
        let fact = |delivery: &Value, name: &str| delivery[name].as_str().unwrap_or_default().to_owned();
        let all = answer.as_array().unwrap();
        let results: Vec<String> = all.iter().map(|delivery| fact(delivery, "result")).collect();
        let arns: Vec<String> = all.iter().map(|delivery| fact(delivery, "arn")).collect();
        (results, arns)
    };
    let (first, arns) = publish();
    assert_eq!(first, ["created", "created"]);
    let ends = ["layer:php-84-x86_64:1", "layer:php-84-vendor:1"];
    assert!(arns.iter().zip(ends).all(|(arn, end)| arn.ends_with(end)), "{arns:?}");
    assert_eq!(publish(), (vec!["unchanged".to_owned(), "unchanged".to_owned()], arns));
}
