//! The charts as inline SVG: marks only, stretched to any width; words stand beside them as text.

use std::fmt::Write;

use super::super::statistics::Distribution;

/// Units of the drawings; the page stretches them.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;
/// How many bars a histogram has.
const BINS: usize = 80;

/// Which of the three a mark belongs to; its colour, by the name of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Subject,
    Direct,
    Floor,
}

impl Ink {
    pub fn class(self) -> &'static str {
        match self {
            Ink::Subject => "subject",
            Ink::Direct => "direct",
            Ink::Floor => "floor",
        }
    }
}

/// Milliseconds from 0, over a chart's whole width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    end: f64,
    step: f64,
}

impl Scale {
    /// One that holds `highest`, and ends at a round number.
    pub fn to(highest: f64) -> Self {
        let rough = highest.max(1e-6) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|times| times * power).find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * power);
        Self { end: (highest / step).ceil() * step, step }
    }

    /// One on which rows are seen well: the rare slow ones lie beyond its end.
    pub fn of(rows: &[&Distribution]) -> Self {
        Self::to(rows.iter().map(|row| row.p99.min(row.median * 2.0)).fold(0.0, f64::max) * 1.05)
    }

    fn x(self, value: f64) -> f64 {
        (value / self.end).clamp(0.0, 1.0) * WIDTH
    }

    pub fn beyond(self, row: &Distribution) -> usize {
        row.samples.iter().filter(|value| **value > self.end).count()
    }

    /// The numbers under a chart.
    pub fn axis(self) -> String {
        let mut out = String::from("<div class=\"axis\">");
        let count = (self.end / self.step).round() as usize;
        for at in 0..count {
            let value = self.step * at as f64;
            let unit = if at == 0 { " ms" } else { "" };
            let text = number(value);
            push(&mut out, format_args!("<span style=\"left:{:.2}%\">{text}{unit}</span>", 100.0 * value / self.end));
        }
        out.push_str("</div>");
        out
    }
}

/// How often which time was measured, and a line at the median.
pub fn histogram(row: &Distribution, scale: Scale, ink: Ink) -> String {
    let mut bins = [0_usize; BINS];
    for value in row.samples.iter().filter(|value| **value <= scale.end) {
        bins[((value / scale.end * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    let highest = bins.iter().copied().max().unwrap_or(0).max(1) as f64;
    let mut path = format!("M0 {HEIGHT}");
    for (at, count) in bins.into_iter().enumerate() {
        let (left, right) = (at as f64 * WIDTH / BINS as f64, (at + 1) as f64 * WIDTH / BINS as f64);
        let y = HEIGHT - count as f64 / highest * HEIGHT * 0.92;
        push(&mut path, format_args!("L{left} {y:.1}L{right} {y:.1}"));
    }
    push(&mut path, format_args!("L{WIDTH} {HEIGHT}Z"));
    let x = scale.x(row.median);
    let median = format!("<line class=\"median\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>");
    svg(&format!("<path class=\"{}\" d=\"{path}\"/>{median}", ink.class()), &described("times", row))
}

/// Values after one another in one bar; `limit` is marked with a dashed line.
pub fn bar(parts: &[(f64, Ink)], scale: Scale, limit: Option<f64>) -> String {
    let mut out = String::new();
    let mut from = 0.0;
    for (value, ink) in parts {
        let (left, right) = (scale.x(from), scale.x(from + value));
        push(
            &mut out,
            format_args!(
                "<rect class=\"{}\" x=\"{left:.1}\" y=\"0\" width=\"{:.1}\" height=\"{HEIGHT}\"/>",
                ink.class(),
                right - left
            ),
        );
        from += value;
    }
    if let Some(limit) = limit {
        // Over the bar and below it, to the bar of what it marks.
        let x = scale.x(limit);
        push(&mut out, format_args!("<line class=\"limit\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"-25\" y2=\"150\"/>"));
    }
    svg(&out, &format!("a bar of {from:.3} ms"))
}

/// A value at some points of the way, each as (share of the way, share of the height), over a ground of zero.
pub fn way(points: &[(f64, f64)], ink: Ink) -> String {
    let places = points.iter().map(|(x, y)| (x * WIDTH, HEIGHT - y * HEIGHT * 0.95));
    let line: String = places.map(|(x, y)| format!("L{x:.1} {y:.1}")).collect();
    let first = points.first().map_or(0.0, |(x, _)| x * WIDTH);
    let last = points.last().map_or(0.0, |(x, _)| x * WIDTH);
    let path = format!("M{first:.1} {HEIGHT}{line}L{last:.1} {HEIGHT}Z");
    svg(&format!("<path class=\"{}\" d=\"{path}\"/>", ink.class()), "memory on the way")
}

fn svg(content: &str, described: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{described}\">{content}</svg>"
    )
}

fn described(what: &str, row: &Distribution) -> String {
    format!("{what} from {:.3} ms, median {:.3} ms, p99 {:.3} ms", row.minimum, row.median, row.p99)
}

/// Without zeros at its end.
pub fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::super::super::report::tests::row;
    use super::*;

    #[test]
    fn scales_end_at_round_numbers_that_hold_the_highest() {
        for (highest, end, step) in [(0.31, 0.4, 0.1), (14.9, 15.0, 5.0), (1.0, 1.0, 0.2), (0.0, 0.0, 2e-7)] {
            let scale = Scale::to(highest);
            assert!((scale.end - end).abs() < 1e-9 && (scale.step - step).abs() < 1e-9, "{highest}: {scale:?}");
        }
    }

    #[test]
    fn marks_stand_where_their_values_are() {
        let scale = Scale::to(10.0);
        assert!(bar(&[(2.0, Ink::Floor), (3.0, Ink::Direct)], scale, Some(6.0)).contains("x=\"200.0\""));
        assert!(bar(&[], scale, Some(6.0)).contains("x1=\"600.0\""));
        let drawn = histogram(&row(5.0, 10), scale, Ink::Subject);
        assert!(drawn.contains("class=\"median\" x1=\"502."), "{drawn}");
        assert_eq!(scale.beyond(&row(10.0, 10)), 9);
        assert_eq!((number(0.25), number(10.0), number(0.0)), ("0.25".into(), "10".into(), "0".into()));
    }
}
