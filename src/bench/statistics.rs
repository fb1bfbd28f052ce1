//! What a row of measured times says: median, percentiles, minimum.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

/// Times of the same thing, measured again and again, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Distribution {
    pub median: f64,
    /// Nine of ten took no longer.
    pub p90: f64,
    pub p99: f64,
    pub minimum: f64,
    pub count: usize,
    /// Every one of them, in the order they were measured.
    pub samples: Vec<f64>,
}

impl Distribution {
    /// None where nothing was measured.
    pub fn of(times: &[Duration]) -> Option<Self> {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let minimum = milliseconds(*sorted.first()?);
        let samples = times.iter().copied().map(milliseconds).collect();
        let rank = |percent| milliseconds(sorted[nearest_rank(sorted.len(), percent)]);
        Some(Self { median: median(&sorted), p90: rank(90), p99: rank(99), minimum, count: sorted.len(), samples })
    }
}

/// Of sorted times, not none: the middle one, or the mean of the two in the middle.
fn median(sorted: &[Duration]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => milliseconds((sorted[middle - 1] + sorted[middle]) / 2),
        _ => milliseconds(sorted[middle]),
    }
}

/// The place of the smallest value that at least `percent` of `count` values do not exceed.
fn nearest_rank(count: usize, percent: usize) -> usize {
    (count * percent).div_ceil(100).max(1) - 1
}

/// To the microsecond: what is finer is noise.
fn milliseconds(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1000.0)
}

/// To three digits after the point.
pub fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(microseconds: &[u64]) -> Distribution {
        let times: Vec<Duration> = microseconds.iter().copied().map(Duration::from_micros).collect();
        Distribution::of(&times).unwrap()
    }

    #[test]
    fn the_median_of_an_even_row_is_between_its_middle_two() {
        assert_eq!(of(&[3000, 1000, 2000]).median, 2.0);
        assert_eq!(of(&[4000, 1000, 2000, 3000]).median, 2.5);
        assert_eq!(of(&[7]).median, 0.007);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<u64> = (1..=100).rev().map(|value| value * 1000).collect();
        let all = of(&hundred);
        assert_eq!((all.minimum, all.p90, all.p99, all.count), (1.0, 90.0, 99.0, 100));
        let few = of(&[5000, 1000, 3000]);
        assert_eq!((few.p90, few.p99), (5.0, 5.0));
        assert_eq!(nearest_rank(10, 90), 8);
    }

    #[test]
    fn samples_keep_their_order_and_nothing_says_nothing() {
        assert_eq!(of(&[2000, 1000]).samples, [2.0, 1.0]);
        assert_eq!(Distribution::of(&[]), None);
    }
}
