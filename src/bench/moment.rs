//! Points in time that processes can tell each other: the kernel's monotonic clock, the same in every sandbox.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on the kernel's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        // It counts up from the machine's start.
        Self(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
    }

    pub fn of_nanoseconds(count: u64) -> Self {
        Self(count)
    }

    pub fn nanoseconds(self) -> u64 {
        self.0
    }

    /// Zero where `earlier` is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }
}
