//! docs/events.md, run: each of its sections is a function, an event and the answer to it.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use std::collections::BTreeMap;

use serde_json::Value;

use super::page::{Block, blocks};
use crate::lamp::parts::{Task, run};

/// A section with a function.
struct Example {
    heading: String,
    function: String,
    event: String,
    answer: Value,
}

fn examples() -> Vec<Example> {
    let mut sections: BTreeMap<String, Vec<Block>> = BTreeMap::new();
    for block in blocks("events.md").into_iter().filter(|block| block.language != "sh") {
        sections.entry(block.heading.clone()).or_default().push(block);
    }
    let read = |(heading, blocks): (String, Vec<Block>)| match blocks.as_slice() {
        [function, event, answer] => {
            let languages = [function, event, answer].map(|block| block.language.as_str());
            assert_eq!(languages, ["php", "json", "json"], "{heading}");
            let answer = serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{heading}: {error}"));
            Example { heading, function: function.text.clone(), event: event.text.clone(), answer }
        }
        others => panic!("`{heading}` has {} blocks, not a function, an event and an answer", others.len()),
    };
    sections.into_iter().map(read).collect()
}

#[test]
#[ignore = "needs the layers that tests/run builds"]
fn the_page_about_events_is_right() {
    let examples = examples();
    let known = ["SQS:", "SQS FIFO:", "Kinesis:", "DynamoDB streams:", "SNS:", "S3:", "EventBridge:", "Scheduled:"];
    for source in known {
        assert!(examples.iter().any(|example| example.heading.starts_with(source)), "nothing about {source}");
    }
    for Example { heading, function, event, answer } in examples {
        let task = Task::of("index.php", &function);
        let mut invoke = task.phplayer("invoke", "index");
        if heading == "SQS: out of time" {
            invoke.args(["--timeout", "1"]);
        }
        let ran = run(invoke.arg(event));
        let mut given: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{heading}: {error}\n{}", ran.stderr));
        let failed = given.as_object_mut().is_some_and(|report| report.shift_remove("stackTrace").is_some());
        assert_eq!(given, answer, "{heading}: {}", ran.stderr);
        assert_eq!(
            (ran.code, failed),
            if answer["errorType"].is_null() { (Some(0), false) } else { (Some(1), true) },
            "{heading}"
        );
    }
}
