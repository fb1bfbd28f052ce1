//! The report as one page with charts: no script, nothing loaded from elsewhere, light and dark, any width.

mod chart;

use chart::{Ink, Scale};

use super::report::{Report, Soak, by_name};
use super::statistics::Distribution;
use super::text::{cold_rows, megabytes, warm_rows};

const STYLE: &str = include_str!("page/page.css");
/// How the times came about.
const METHOD: &str = "<p>Function, php-fpm alone and the empty runtime were measured in turn, in sandboxes of their own. \
php-fpm alone is the same php-fpm, asked over FastCGI by a program that does nothing else. The empty runtime takes each event \
and answers it at once; its start is that of phplayer's own executable. The dashed line marks the limit.</p>\n";

impl Report {
    pub fn html(&self) -> String {
        let title = escape(&format!("{}: {}", self.function.handler, self.sent.join(" · ")));
        let mut body = format!(
            "<h1>{title}</h1>\n<p class=\"quiet\">What a phplayer function costs, and what of it is PHP itself.</p>\n"
        );
        if self.machine.was_busy() {
            body.push_str(&format!(
                "<p class=\"warning\">The machine was busy (load {:.1} on {} cores): ratios hold better than times.</p>\n",
                self.machine.load_before.unwrap_or_default(),
                self.machine.cores
            ));
        }
        body.push_str(&tiles(self));
        if let Some(warm) = &self.warm {
            let limit = warm
                .direct
                .as_ref()
                .map(|direct| [(warm.floor.response.median, Ink::Floor), (direct.median, Ink::Direct)]);
            body.push_str(&comparison(
                "A warm event",
                "From the moment an event is handed out, to the function that has answered before.",
                &inked(warm_rows(warm)),
                limit.as_ref().map(|parts| &parts[..]),
            ));
        }
        if let Some(cold) = &self.cold {
            let limit = cold.direct.as_ref().map(|direct| [(direct.median, Ink::Direct)]);
            body.push_str(&comparison(
                "A cold start",
                "From the moment the bootstrap, or php-fpm alone, is executed.",
                &inked(cold_rows(cold)),
                limit.as_ref().map(|parts| &parts[..]),
            ));
        }
        if let Some(soak) = &self.soak {
            body.push_str(&soak_section(soak));
        }
        body.push_str(&memory(self));
        body.push_str(&footer(self));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
        )
    }
}

/// The figures that people ask for first.
fn tiles(report: &Report) -> String {
    let figures = &report.figures;
    let mut tiles = Vec::new();
    if let Some(ratio) = figures.warm_ratio {
        tiles.push((format!("{ratio:.2} ×"), "a warm event, against php-fpm alone and an empty runtime together"));
    } else if let Some(ratio) = figures.loop_ratio {
        tiles.push((format!("{ratio:.2} ×"), "from event to event, against an empty runtime"));
    }
    if let Some(above) = figures.cold_above_php_fpm {
        tiles.push((signed(above, "ms"), "a cold start, above php-fpm alone"));
    }
    if let Some(soak) = &report.soak {
        tiles.push((soak.events.to_string(), "events, every one answered"));
        if let Some(growth) = soak.memory_growth {
            tiles.push((signed((growth - 1.0) * 100.0, "%"), "memory, from a tenth of the way to its end"));
        }
    }
    if let Some(process) = report.processes.iter().find(|process| process.name == "bootstrap") {
        tiles.push((format!("{} MB", megabytes(process.rss)), "resident in the bootstrap"));
    }
    if !report.processes.is_empty() {
        tiles.push((report.processes.len().to_string(), "processes while it waits for an event"));
    }
    let tiles: String = tiles
        .iter()
        .map(|(value, what)| format!("<div class=\"tile\"><b>{value}</b><span>{what}</span></div>\n"))
        .collect();
    format!("<div class=\"tiles\">\n{tiles}</div>\n")
}

fn inked<'a>(rows: Vec<(&'a str, &'a Distribution)>) -> Vec<(&'a str, &'a Distribution, Ink)> {
    let ink = |name: &str| match name.split(':').next() {
        Some("function") => Ink::Subject,
        Some("php-fpm alone") => Ink::Direct,
        _ => Ink::Floor,
    };
    rows.into_iter().map(|(name, row)| (name, row, ink(name))).collect()
}

/// Medians, distributions and numbers of one kind. `limit`: the parts of what the first row cannot be faster than.
fn comparison(title: &str, about: &str, rows: &[(&str, &Distribution, Ink)], limit: Option<&[(f64, Ink)]>) -> String {
    let mut out = format!("<section>\n<h2>{title}</h2>\n<p class=\"quiet\">{about}</p>\n");
    if let (Some(limit), Some((name, first, ink))) = (limit, rows.first()) {
        let together: f64 = limit.iter().map(|(value, _)| value).sum();
        let scale = Scale::to(first.median.max(together) * 1.1);
        let what = if limit.len() > 1 { "empty runtime + php-fpm alone" } else { "php-fpm alone" };
        out.push_str("<h3>Medians</h3>\n");
        let bar =
            |parts: &[(f64, Ink)], mark| format!("<div class=\"plot bar\">{}</div>", chart::bar(parts, scale, mark));
        out.push_str(&row(name, &milliseconds(first.median), &bar(&[(first.median, *ink)], Some(together))));
        out.push_str(&row(what, &milliseconds(together), &bar(limit, None)));
        out.push_str(&row("", "", &scale.axis()));
    }
    let scale = Scale::of(&rows.iter().map(|(_, row, _)| *row).collect::<Vec<_>>());
    out.push_str("<h3>Every measurement</h3>\n");
    for (name, distribution, ink) in rows {
        let beyond = match scale.beyond(distribution) {
            0 => String::new(),
            count => format!(", {count} beyond"),
        };
        let facts = format!("{}{beyond}", milliseconds(distribution.median));
        let plot = format!("<div class=\"plot\">{}</div>", chart::histogram(distribution, scale, *ink));
        out.push_str(&row(name, &facts, &plot));
    }
    out.push_str(&row("", "", &scale.axis()));
    out.push_str("<div class=\"scroll\"><table>\n<tr><th>milliseconds</th><th>median</th><th>p90</th><th>p99</th><th>min</th><th>count</th></tr>\n");
    for (name, row, ink) in rows {
        out.push_str(&format!(
            "<tr><td><span class=\"key {}\"></span>{name}</td><td>{:.3}</td><td>{:.3}</td><td>{:.3}</td><td>{:.3}</td><td>{}</td></tr>\n",
            ink.class(), row.median, row.p90, row.p99, row.minimum, row.count
        ));
    }
    out.push_str("</table></div>\n</section>\n");
    out
}

fn row(name: &str, facts: &str, plot: &str) -> String {
    let facts = if facts.is_empty() { String::new() } else { format!("<small>{facts}</small>") };
    format!("<div class=\"row\"><div class=\"name\">{name}{facts}</div>{plot}</div>\n")
}

fn milliseconds(value: f64) -> String {
    format!("{value:.3} ms")
}

fn soak_section(soak: &Soak) -> String {
    let rate = soak.events as f64 / soak.seconds.max(0.001);
    let mut out = format!(
        "<section>\n<h2>{} events through one instance</h2>\n<p class=\"quiet\">{:.0} s, {rate:.0} a second. Memory counts from a tenth of the way: an instance fills its caches first.</p>\n",
        soak.events, soak.seconds
    );
    out.push_str("<h3>Resident memory on the way</h3>\n");
    let names = soak.moments.last().map(|moment| moment.processes.as_slice()).unwrap_or_default();
    for (at, process) in names.iter().enumerate() {
        let values: Vec<(u64, u64)> =
            soak.moments.iter().filter_map(|moment| Some((moment.percent, moment.processes.get(at)?.rss))).collect();
        let highest = values.iter().map(|(_, rss)| *rss).max().unwrap_or(1).max(1) as f64;
        let points: Vec<(f64, f64)> =
            values.iter().map(|(percent, rss)| (*percent as f64 / 100.0, *rss as f64 / highest)).collect();
        let ink = if process.name == "bootstrap" { Ink::Subject } else { Ink::Direct };
        let plot = format!("<div class=\"plot\">{}</div>", chart::way(&points, ink));
        out.push_str(&row(&escape(&process.name), &format!("{} MB", megabytes(process.rss)), &plot));
    }
    out.push_str("<div class=\"scroll\"><table>\n<tr><th>after</th><th class=\"left\">process</th><th>RSS</th><th>PSS</th><th>open files</th></tr>\n");
    for moment in &soak.moments {
        for process in &moment.processes {
            out.push_str(&format!(
                "<tr><td>{} %</td><td class=\"left\">{}</td><td>{} MB</td><td>{} MB</td><td>{}</td></tr>\n",
                moment.percent,
                escape(&process.name),
                megabytes(process.rss),
                megabytes(process.pss),
                process.descriptors
            ));
        }
    }
    out.push_str("</table></div>\n<h3>Answers</h3>\n<div class=\"scroll\"><table>\n<tr><th>sent</th><th>responses</th><th>errors</th><th class=\"left\">statuses</th></tr>\n");
    for case in &soak.cases {
        let statuses: Vec<String> = case.statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect();
        out.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"left\">{}</td></tr>\n",
            escape(&case.sent),
            case.responses,
            case.errors,
            statuses.join(", ")
        ));
    }
    out.push_str("</table></div>\n</section>\n");
    out
}

fn memory(report: &Report) -> String {
    let mut out = String::from(
        "<section>\n<h2>Memory</h2>\n<p class=\"quiet\">After the last event. RSS counts shared pages whole, PSS divides them by those who share.</p>\n<div class=\"scroll\"><table>\n<tr><th>process</th><th>RSS</th><th>PSS</th><th>count</th></tr>\n",
    );
    for (name, count, rss, pss) in by_name(&report.processes) {
        out.push_str(&format!(
            "<tr><td>{}</td><td>{} MB</td><td>{} MB</td><td>{count}</td></tr>\n",
            escape(name),
            megabytes(rss),
            megabytes(pss)
        ));
    }
    out.push_str("</table></div>\n</section>\n");
    out
}

fn footer(report: &Report) -> String {
    let machine = &report.machine;
    let load = |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.1}"));
    let bootstrap = report.function.bootstrap.map(|bytes| format!(", a bootstrap of {} kB", bytes / 1000));
    let how = if report.soak.is_some() { "" } else { METHOD };
    format!(
        "<footer>\n<p>phplayer {}; layers {}; {} MB of memory{}.</p>\n<p>{}, {} cores, Linux {}; load {} before, {} after.</p>\n\
         {how}</footer>\n",
        escape(&report.phplayer),
        escape(&report.function.layers.join(", ")),
        report.function.memory_mb,
        bootstrap.unwrap_or_default(),
        escape(machine.cpu.as_deref().unwrap_or("an unknown processor")),
        machine.cores,
        escape(machine.kernel.as_deref().unwrap_or("")),
        load(machine.load_before),
        load(machine.load_after),
    )
}

/// With a minus that is as wide as the plus.
fn signed(value: f64, unit: &str) -> String {
    format!("{value:+.1} {unit}").replace('-', "−")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;

    #[test]
    fn the_page_needs_nothing_but_itself() {
        let mut report = report();
        report.sent = vec!["GET /<script>".into()];
        let page = report.html();
        for foreign in ["<script", "http://", "https://", "url(", "@import", "<link", "<img"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        // Nine rows of times, and two bars for each kind.
        assert_eq!(page.matches("<svg").count(), 9 + 4);
        assert!(page.contains("GET /&lt;script&gt;") && page.contains("php-fpm: pool www"));
    }
}
