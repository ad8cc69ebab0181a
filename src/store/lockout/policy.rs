//! When to lock, and for how long.

use std::time::Duration;

use crate::{Error, ErrorKind, units};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Nobody is locked out for longer.
pub(super) const CENTURY: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);
/// More than anybody may try, so that what is kept of one subject is small.
const MOST_ATTEMPTS: u32 = 1_000;

/// So many failed attempts within a window lock for a time.
///
/// ```
/// use std::time::Duration;
/// use evenkeel::store::lockout::LockoutPolicy;
///
/// // The fifth wrong password in 15 minutes locks for 15 minutes, the next five for 30, and so on up to a day.
/// let policy = LockoutPolicy::new(5, Duration::from_secs(15 * 60))?
///     .with_growth(2.0, Duration::from_secs(24 * 60 * 60));
/// # Ok::<(), evenkeel::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LockoutPolicy {
    pub(super) threshold: u32,
    pub(super) window: u64,
    pub(super) lock: u64,
    pub(super) growth: f64,
    pub(super) longest: u64,
    /// How long after its end a lock still makes the next one longer.
    pub(super) memory_of_locks: u64,
    /// An attempt of which no result is reported for so long counts as failed.
    pub(super) attempt_timeout: u64,
}

impl LockoutPolicy {
    /// `threshold` failed attempts within `window` lock for as long again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a threshold outside 1 to 1000 and for a window under 1 ms.
    pub fn new(threshold: u32, window: Duration) -> Result<Self, Error> {
        if !(1..=MOST_ATTEMPTS).contains(&threshold) {
            return Err(Error::new(ErrorKind::Config, "a lockout needs a threshold of 1 to 1000"));
        }
        if window < Duration::from_millis(1) {
            return Err(Error::new(ErrorKind::Config, "a lockout needs a window of 1 ms or more"));
        }
        let window = millis(window);
        Ok(Self {
            threshold,
            window,
            lock: window,
            growth: 1.0,
            longest: window,
            memory_of_locks: 0,
            attempt_timeout: 30_000,
        })
    }

    /// How long a lock lasts. Default: as long as the window. At least 1 ms.
    #[must_use]
    pub fn with_lock_time(mut self, time: Duration) -> Self {
        self.lock = millis(time).max(1);
        self.longest = self.longest.max(self.lock);
        self
    }

    /// Each lock within a day of the last one's end is `factor` times as long as that, up to
    /// `longest`. Default: all are as long. A factor under 1 counts as 1.
    #[must_use]
    pub fn with_growth(mut self, factor: f64, longest: Duration) -> Self {
        self.growth = if factor >= 1.0 { factor.min(1000.0) } else { 1.0 };
        self.longest = millis(longest).max(self.lock);
        self.memory_of_locks = millis(DAY);
        self
    }

    /// An attempt whose result is never reported (the handler failed) counts as failed after this
    /// time; until then it holds a slot. Longer than verifying a password takes.
    /// Default 30 s.
    #[must_use]
    pub fn with_attempt_timeout(mut self, attempt_timeout: Duration) -> Self {
        self.attempt_timeout = millis(attempt_timeout);
        self
    }

    /// How long the lock after `consecutive_locks` earlier ones lasts.
    pub(super) fn lock_time(&self, consecutive_locks: u32) -> u64 {
        let factor = self.growth.powi(i32::try_from(consecutive_locks.min(1000)).unwrap_or(0));
        let time = (self.lock as f64 * factor).min(self.longest as f64);
        (time as u64).max(self.lock.min(self.longest))
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    units::millis(duration.min(CENTURY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_grow_up_to_the_longest() {
        let minute = Duration::from_secs(60);
        let policy = LockoutPolicy::new(5, minute).unwrap();
        assert_eq!(
            [0, 1, 9].map(|consecutive_locks| policy.lock_time(consecutive_locks)),
            [60_000; 3]
        );
        let policy = policy.with_growth(2.0, minute * 10);
        let times =
            [0, 1, 2, 3, 4, u32::MAX].map(|consecutive_locks| policy.lock_time(consecutive_locks));
        assert_eq!(times, [60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
        assert_eq!(policy.with_growth(f64::NAN, minute).lock_time(3), 60_000);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(LockoutPolicy::new(0, Duration::from_secs(1)).is_err());
        assert!(LockoutPolicy::new(1001, Duration::from_secs(1)).is_err());
        assert!(LockoutPolicy::new(5, Duration::ZERO).is_err());
        assert!(LockoutPolicy::new(5, Duration::MAX).is_ok());
    }
}
