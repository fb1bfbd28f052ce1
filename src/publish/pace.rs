//! How patient publishing is: attempts, waits, time limits.

use std::time::Duration;

/// Lambda's control plane takes about 15 requests a second for all callers of an account in a region, so throttling is
/// an everyday answer and ten attempts are none too many.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Attempts for each call, the first included.
    pub attempts: u32,
    /// The wait after the first failed attempt; each next one is twice as long.
    pub first_wait: Duration,
    /// No wait is longer.
    pub longest_wait: Duration,
    /// How long one attempt of a small call may take.
    pub answer: Duration,
    /// How long one upload may take: 50 MiB in base64 over 1 Mbit/s are ten minutes.
    pub upload: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            attempts: 10,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(20),
            answer: Duration::from_secs(30),
            upload: Duration::from_secs(15 * 60),
        }
    }
}

impl Pace {
    /// The wait after the given failed attempt; the first is 1.
    pub(super) fn wait(&self, attempt: u32) -> Duration {
        let factor = 2u32.saturating_pow(attempt.saturating_sub(1));
        self.first_wait.saturating_mul(factor).min(self.longest_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> = (1..=7).map(|attempt| Pace::default().wait(attempt).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 20, 20]);
        assert_eq!(Pace::default().wait(u32::MAX), Duration::from_secs(20));
    }
}
