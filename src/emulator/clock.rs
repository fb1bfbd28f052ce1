//! The wall clock in the forms that Lambda and API Gateway write it, always UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// An instant as time since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Clock(pub Duration);

impl Clock {
    pub fn now() -> Self {
        // A clock before 1970 is no reason to fail an invocation.
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    pub fn plus(self, later: Duration) -> Self {
        Self(self.0 + later)
    }

    pub fn epoch_ms(self) -> u128 {
        self.0.as_millis()
    }

    /// `2026-11-23T17:10:17.042Z`, as in CloudWatch.
    pub fn iso(self) -> String {
        let (year, month, day) = self.date();
        let (hour, minute, second) = self.time();
        format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", self.0.subsec_millis())
    }

    /// `23/Nov/2026:17:10:17 +0000`, as in `requestContext.time`.
    pub fn clf(self) -> String {
        let (year, month, day) = self.date();
        let (hour, minute, second) = self.time();
        format!("{day:02}/{}/{year}:{hour:02}:{minute:02}:{second:02} +0000", MONTHS[month as usize - 1])
    }

    /// `2026/11/23`, as log streams are named.
    pub fn day(self) -> String {
        let (year, month, day) = self.date();
        format!("{year}/{month:02}/{day:02}")
    }

    fn time(self) -> (u64, u64, u64) {
        let seconds = self.0.as_secs() % 86_400;
        (seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// Year, month 1 to 12, day. Counting years from March puts the leap day at a year's end.
    fn date(self) -> (u64, u64, u64) {
        let days = self.0.as_secs() / 86_400 + 719_468;
        let era = days / 146_097;
        let of_era = days % 146_097;
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        (era * 400 + year + u64::from(month <= 2), month, day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        let at = |ms| Clock(Duration::from_millis(ms));
        assert_eq!(at(0).iso(), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400_042).iso(), "2000-02-29T00:00:00.042Z");
        assert_eq!(at(1_795_453_817_000).clf(), "23/Nov/2026:17:10:17 +0000");
        assert_eq!(at(4_107_542_399_999).iso(), "2100-02-28T23:59:59.999Z");
        assert_eq!(at(4_107_542_400_000).day(), "2100/03/01");
    }
}
