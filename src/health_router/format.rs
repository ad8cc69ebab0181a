//! Times and durations in the form that the health documents have them in.

use std::{
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

/// The wall clock's time at that moment, as that clock runs now.
pub(super) fn at(moment: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(moment.elapsed()).unwrap_or(now)
}

/// `2026-11-20T12:00:00.000Z`. A clock that stands before 1970 reads as 1970, one past the year
/// 9999 as nothing.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let mut text = String::new();
    let _ = write!(text, "{}", humantime::format_rfc3339_millis(time.max(UNIX_EPOCH)));
    text
}

/// To the millisecond.
pub(super) fn seconds(span: Duration) -> f64 {
    rounded(span.as_secs_f64())
}

/// To the microsecond.
pub(super) fn milliseconds(span: Duration) -> f64 {
    rounded(span.as_secs_f64() * 1e3)
}

/// To three places.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_moments_and_never_panics() {
        let new_year = UNIX_EPOCH + Duration::from_millis(1_767_225_600_250);
        assert_eq!(rfc3339(new_year), "2026-01-01T00:00:00.250Z");
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(9)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(1 << 40)), "");
    }

    #[test]
    fn rounds_sensibly() {
        assert_eq!(seconds(Duration::from_nanos(123_456_499_999)), 123.456);
        assert_eq!(milliseconds(Duration::from_nanos(210_499)), 0.21);
        assert_eq!(milliseconds(Duration::ZERO), 0.0);
    }
}
