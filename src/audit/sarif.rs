//! Reports as SARIF 2.1.0, the form that code hosts show beside a change.

use serde_json::{Value, json};

use super::report::{Finding, Report, Reports};
use super::rule::{Level, Rule};

/// One run with the whole table of rules. The location is the zip; the file inside it is a logical location.
pub fn render(reports: &Reports) -> Value {
    let results: Vec<Value> =
        reports.iter().flat_map(|report| report.findings.iter().map(|finding| result(report, finding))).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "phplayer",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": Rule::ALL.iter().copied().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(rule: Rule) -> Value {
    json!({
        "id": rule.id(),
        "shortDescription": { "text": rule.explain() },
        "help": { "text": rule.help() },
        "defaultConfiguration": { "level": level(rule.level()) },
    })
}

fn result(report: &Report, finding: &Finding) -> Value {
    let path = report.subject.path().display().to_string();
    let mut text = match &finding.file {
        Some(file) => format!("{file}: {}", finding.message),
        None => finding.message.clone(),
    };
    for detail in &finding.details {
        text.push('\n');
        text.push_str(detail);
    }
    let mut location = json!({ "physicalLocation": { "artifactLocation": { "uri": uri(&path) } } });
    if let Some(file) = &finding.file {
        let name = format!("{path}/{file}");
        location["logicalLocations"] = json!([{ "name": file, "fullyQualifiedName": name, "kind": "resource" }]);
    }
    let suppressions: Vec<Value> =
        finding.waived.iter().map(|reason| json!({ "kind": "external", "justification": reason })).collect();
    json!({
        "ruleId": finding.rule.id(),
        "ruleIndex": Rule::ALL.iter().position(|rule| *rule == finding.rule),
        "level": level(finding.level),
        "message": { "text": text },
        "locations": [location],
        "suppressions": suppressions,
        "properties": { "target": report.target.to_string() },
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
    }
}

/// Everything but the characters that a path in a URI may hold is percent-encoded.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("out/my layer.zip"), "out/my%20layer.zip");
        assert_eq!(uri("/tmp/a#b.zip"), "file:///tmp/a%23b.zip");
    }
}
