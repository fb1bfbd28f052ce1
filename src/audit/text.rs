//! A report for people: findings by file, each rule explained once, the verdict in the last line.

use std::fmt::Write;

use super::report::{Finding, Report, Subject};
use super::rule::{Level, Rule};

/// Several lines without colour; every character is printable, whatever the layer's names hold.
pub fn render(report: &Report) -> String {
    let mut text = headline(report);
    text.push('\n');
    let mut last: Option<&Option<String>> = None;
    for finding in &report.findings {
        if last != Some(&finding.file) {
            let _ = write!(text, "\n{}\n", finding.file.as_deref().map_or("the layer".into(), printable));
            last = Some(&finding.file);
        }
        text.push_str(&lines(finding));
    }
    let mut rules: Vec<Rule> = report.findings.iter().filter(|f| f.waived.is_none()).map(|f| f.rule).collect();
    rules.sort();
    rules.dedup();
    for rule in rules {
        let _ = write!(text, "\n{rule}: {}\n  help: {}\n", rule.explain(), rule.help());
    }
    if !report.findings.is_empty() {
        text.push('\n');
    }
    text.push_str(&verdict(report));
    text.push('\n');
    text
}

/// `38 files · 0 objections · 1 waived`.
pub fn verdict(report: &Report) -> String {
    let count = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let open = |level| report.findings.iter().filter(|f| f.level == level && f.waived.is_none()).count();
    let waived = report.findings.iter().filter(|finding| finding.waived.is_some()).count();
    let mut parts = vec![count(report.files, "file"), count(open(Level::Error), "objection")];
    if open(Level::Warning) > 0 {
        parts.push(count(open(Level::Warning), "warning"));
    }
    if waived > 0 {
        parts.push(format!("{waived} waived"));
    }
    parts.join(" · ")
}

/// The rules as a table to read.
pub fn rules() -> String {
    let row = |rule: &Rule| format!("{rule} ({})\n  {}\n  {}\n", rule.level(), rule.explain(), rule.help());
    Rule::ALL.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn headline(report: &Report) -> String {
    let path = printable(&report.subject.path().display().to_string());
    let zipped = match report.subject {
        Subject::Zip { zipped, .. } => format!(" · {} zipped", mebibytes(zipped)),
        Subject::Folder { .. } => String::new(),
    };
    format!("{path} · {}{zipped} · {} unpacked", report.target, mebibytes(report.unzipped))
}

/// In the unit of Lambda's limits.
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

fn lines(finding: &Finding) -> String {
    let level = match &finding.waived {
        None => finding.level.to_string(),
        Some(_) => "waived".to_owned(),
    };
    let mut text = format!("  {level}[{}]: {}\n", finding.rule, printable(&finding.message));
    for detail in &finding.details {
        let _ = writeln!(text, "    {}", printable(detail));
    }
    if let Some(reason) = &finding.waived {
        let _ = writeln!(text, "    because: {}", printable(reason));
    }
    text
}

/// Names come out of files that may be hostile: no control character reaches a terminal.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
