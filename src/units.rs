//! Durations as the whole numbers that keys, scripts and counters hold. What does not fit is the
//! most that does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// For how long a key stands, in ms. Redis refuses 0.
pub(crate) fn ttl_millis(duration: Duration) -> u64 {
    millis(duration).max(1)
}

/// Since 1970; what is earlier counts as 1970.
pub(crate) fn since_1970(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The wall clock of this instance, in ms since 1970.
#[cfg(any(feature = "cache", feature = "session"))]
pub(crate) fn wall_millis() -> u64 {
    millis(since_1970(SystemTime::now()))
}
