//! How long the shared store is waited for: never as long as compiling would take.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Attempts for each call, the first included.
    pub attempts: u32,
    /// The wait after the first failed attempt; each next one is twice as long.
    pub first_wait: Duration,
    pub connect: Duration,
    /// How long an answer may take to begin.
    pub answer: Duration,
    /// Bytes a second; what comes or goes more slowly is given up.
    pub least_rate: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 3,
            first_wait: Duration::from_millis(300),
            connect: Duration::from_secs(4),
            answer: Duration::from_secs(10),
            // A step of 10 MiB takes minutes to compile, and at this rate 40 seconds.
            least_rate: 256 * 1024,
        }
    }
}

impl Patience {
    /// For a whole call that moves so many bytes, its repetitions included.
    pub(super) fn whole(&self, bytes: u64) -> Duration {
        let waits = self.first_wait * 2u32.saturating_pow(self.attempts);
        self.answer * self.attempts + waits + Duration::from_secs_f64(bytes as f64 / self.least_rate.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_bytes_may_take_longer() {
        let patience = Patience::default();
        assert_eq!(patience.whole(0), Duration::from_millis(32_400));
        assert_eq!(patience.whole(10 * 1024 * 1024), Duration::from_millis(72_400));
    }
}
