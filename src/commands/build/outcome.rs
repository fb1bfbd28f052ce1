//! The answer of a build: a table for people, JSON for pipelines.

use crate::console;
use crate::layer::UNZIPPED_LIMIT;
use crate::layer::built::Built;

pub fn json(built: &[Built]) -> String {
    serde_json::to_string_pretty(built).expect("plain data always serialises")
}

/// File, sizes, share of Lambda's limit, digest.
pub fn table(built: &[Built]) -> String {
    let mut rows = vec![["file", "zipped", "unpacked", "of 250 MiB", "sha256"].map(str::to_owned)];
    for one in built {
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
    rows.iter()
        .map(|[file, zipped, unzipped, share, sha256]| {
            let [a, b, c, d] = widths;
            format!("{file:<a$}  {zipped:>b$}  {unzipped:>c$}  {share:>d$}  {sha256}\n")
        })
        .collect()
}
