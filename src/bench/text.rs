//! The report as a table for people who read it for the first time.

use std::fmt::Write;

use super::report::{Cold, Report, Soak, Warm, by_name};
use super::statistics::Distribution;

/// One line of a table: what it is about, and its numbers.
type Row<'a> = (&'a str, &'a Distribution);

impl Report {
    pub fn text(&self) -> String {
        let mut out = String::new();
        let status = self.status.map(|status| format!(" → {status}")).unwrap_or_default();
        line(&mut out, &format!("{}: {}{status}", self.function.handler, self.sent.join(" · ")));
        if let Some(cold) = &self.cold {
            table(&mut out, "Cold start, from the exec, in ms", &cold_rows(cold));
            if let Some(above) = self.figures.cold_above_php_fpm {
                line(&mut out, &format!("  the runtime adds {above:.2} ms to php-fpm's own start"));
            }
        }
        if let Some(warm) = &self.warm {
            table(&mut out, "Warm event, from its handing out, in ms", &warm_rows(warm));
            if let Some(ratio) = self.figures.warm_ratio {
                line(&mut out, &format!("  answered in {ratio:.2} × (php-fpm alone + an empty runtime)"));
            } else if let Some(ratio) = self.figures.loop_ratio {
                line(&mut out, &format!("  a loop, from event to event, takes {ratio:.2} × an empty runtime's"));
            }
        }
        match &self.soak {
            Some(soak) => soak_table(&mut out, soak),
            None => memory_table(&mut out, self),
        }
        if self.machine.was_busy() {
            let load = self.machine.load_before.unwrap_or_default();
            line(&mut out, "");
            line(
                &mut out,
                &format!(
                    "This machine was busy (load {load:.1} on {} cores): ratios hold better than times.",
                    self.machine.cores
                ),
            );
        }
        out
    }
}

/// The words of the charts too.
pub fn cold_rows(cold: &Cold) -> Vec<Row<'_>> {
    let mut rows =
        vec![("function: first answer", &cold.subject.response), ("function: ready for an event", &cold.subject.init)];
    rows.extend(cold.direct.as_ref().map(|direct| ("php-fpm alone: first answer", direct)));
    rows.push(("empty runtime: first answer", &cold.floor.response));
    rows
}

pub fn warm_rows(warm: &Warm) -> Vec<Row<'_>> {
    let mut rows =
        vec![("function: answered", &warm.subject.response), ("function: asks for the next", &warm.subject.next)];
    rows.extend(warm.direct.as_ref().map(|direct| ("php-fpm alone: answered", direct)));
    rows.push(("empty runtime: answered", &warm.floor.response));
    rows.push(("empty runtime: asks for the next", &warm.floor.next));
    rows
}

fn table(out: &mut String, title: &str, rows: &[Row<'_>]) {
    line(out, "");
    line(out, &format!("{title:<42}{:>9}{:>9}{:>9}{:>9}{:>8}", "median", "p90", "p99", "minimum", "count"));
    for (name, row) in rows {
        line(
            out,
            &format!(
                "  {name:<40}{:>9.3}{:>9.3}{:>9.3}{:>9.3}{:>8}",
                row.median, row.p90, row.p99, row.minimum, row.count
            ),
        );
    }
}

fn memory_table(out: &mut String, report: &Report) {
    line(out, "");
    line(out, &format!("{:<42}{:>9}{:>9}{:>9}", "Memory, in MB", "RSS", "PSS", "count"));
    for (name, count, rss, pss) in by_name(&report.processes) {
        line(out, &format!("  {name:<40}{:>9}{:>9}{count:>9}", megabytes(rss), megabytes(pss)));
    }
    if let Some(bytes) = report.function.bootstrap {
        line(out, &format!("  {:<40}{:>6} kB", "the bootstrap's file", bytes / 1000));
    }
}

fn soak_table(out: &mut String, soak: &Soak) {
    let rate = soak.events as f64 / soak.seconds.max(0.001);
    line(out, "");
    line(out, &format!("{} events in {:.0} s ({rate:.0}/s), every one answered", soak.events, soak.seconds));
    for case in &soak.cases {
        let statuses: Vec<String> =
            case.statuses.iter().map(|(status, count)| format!("{count} × status {status}")).collect();
        let kinds = match (case.errors, statuses.is_empty()) {
            (0, true) => format!("{} responses", case.responses),
            (0, false) => statuses.join(", "),
            (errors, _) => format!("{} responses, {errors} errors", case.responses),
        };
        line(out, &format!("  {:<40} {kinds}", case.sent));
    }
    line(out, "");
    line(out, &format!("{:<42}{:>9}{:>9}{:>9}", "Memory on the way, in MB", "RSS", "PSS", "open"));
    for moment in &soak.moments {
        for process in &moment.processes {
            line(
                out,
                &format!(
                    "  {:>3} %  {:<33}{:>9}{:>9}{:>9}",
                    moment.percent,
                    process.name,
                    megabytes(process.rss),
                    megabytes(process.pss),
                    process.descriptors
                ),
            );
        }
    }
    if let (Some(memory), Some(descriptors)) = (soak.memory_growth, soak.descriptor_growth) {
        let percent = (memory - 1.0) * 100.0;
        line(out, &format!("  from 10 % to the end: memory {percent:+.1} %, open descriptors {descriptors:+}"));
    }
}

/// Of 10^6 bytes.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1e6)
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;

    #[test]
    fn columns_stand_under_their_names() {
        let text = report().text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "index.php: GET / → 200");
        let title = lines.iter().find(|line| line.starts_with("Warm event")).unwrap();
        let row = lines.iter().find(|line| line.starts_with("  function: answered")).unwrap();
        assert_eq!(title.find("median").unwrap() + "median".len(), row.find("0.").unwrap() + "0.000".len(), "{text}");
        assert!(text.contains("the runtime adds 2.00 ms to php-fpm's own start"), "{text}");
        assert!(text.contains("php-fpm: pool www"), "{text}");
        assert!(!text.contains("busy"), "{text}");
    }
}
