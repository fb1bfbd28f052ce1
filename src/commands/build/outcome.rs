//! The answer of a build: a table for people, JSON for pipelines.

use crate::console;
use crate::layer::UNZIPPED_LIMIT;
use crate::layer::built::Built;

/// What a recipe became, and with `--sizes` what each part adds.
type Answer = (Built, Option<Vec<(String, u64)>>);

/// An array of what `manifest.json` holds, each with `sizes` in bytes by part where they were asked for.
pub fn json(answers: &[Answer]) -> String {
    let list: Vec<serde_json::Value> = answers
        .iter()
        .map(|(built, sizes)| {
            let mut value = serde_json::to_value(built).expect("plain data always serialises");
            if let Some(sizes) = sizes {
                value["sizes"] = sizes.iter().map(|(part, bytes)| (part.clone(), serde_json::json!(bytes))).collect();
            }
            value
        })
        .collect();
    serde_json::to_string_pretty(&list).expect("plain data always serialises")
}

/// File, sizes, share of Lambda's limit, digest.
pub fn table(answers: &[Answer]) -> String {
    let mut rows = vec![["file", "zipped", "unpacked", "of 250 MiB", "sha256"].map(str::to_owned)];
    for (one, _) in answers {
        for layer in &one.layers {
            rows.push([
                format!("{}/{}", one.folder(), layer.file),
                console::size(layer.zipped),
                console::size(layer.unzipped),
                format!("{:.1} %", layer.unzipped as f64 * 100.0 / UNZIPPED_LIMIT as f64),
                layer.sha256.to_string(),
            ]);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let parts = answers.iter().flat_map(|(_, sizes)| sizes.iter().flatten());
    let parts: String = parts.map(|(part, bytes)| format!("{part:<18} {:>10}\n", console::size(*bytes))).collect();
    let table: String = rows
        .iter()
        .map(|[file, zipped, unzipped, share, sha256]| {
            let [a, b, c, d] = widths;
            format!("{file:<a$}  {zipped:>b$}  {unzipped:>c$}  {share:>d$}  {sha256}\n")
        })
        .collect();
    parts + &table
}
