//! How long a session lives: unused, and at all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::millis;

/// How long a session lives: `idle` after its last use, and `absolute` after its beginning,
/// whichever ends first.
///
/// The default is a day unused and a week in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    idle: Duration,
    absolute: Duration,
}

/// A second: nothing shorter is of use, and a zero would be no session at all.
const SHORTEST: Duration = Duration::from_secs(1);
/// Ten years: every sum of times stays far from where numbers end.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

impl Expiry {
    /// Both are at least a second and at most ten years. An idle time longer than the absolute one
    /// is cut to it.
    pub fn new(idle: Duration, absolute: Duration) -> Self {
        let absolute = absolute.clamp(SHORTEST, LONGEST);
        Self { idle: idle.clamp(SHORTEST, absolute), absolute }
    }

    /// After its last use.
    pub const fn idle(self) -> Duration {
        self.idle
    }

    /// After its beginning.
    pub const fn absolute(self) -> Duration {
        self.absolute
    }

    /// Idle and absolute.
    pub(crate) fn in_millis(self) -> (u64, u64) {
        (millis(self.idle), millis(self.absolute))
    }
}

impl Default for Expiry {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self::new(DAY, DAY * 7)
    }
}

/// Clocks of instances may differ by so much, in ms.
pub(super) const SKEW: u64 = 60_000;

/// The times of one session, in milliseconds of the wall clock: other processes read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) created: u64,
    pub(crate) touched: u64,
    /// How long it may go unused.
    pub(crate) idle: u64,
    /// When it ends however much it is used.
    pub(crate) ends: u64,
}

impl Times {
    pub(crate) fn beginning(now: u64, expiry: Expiry) -> Self {
        let mut times = Self { created: now, touched: now, idle: 0, ends: 0 };
        times.set(expiry.in_millis());
        times
    }

    /// Idle and absolute lifetime, in ms.
    pub(crate) fn set(&mut self, (idle, absolute): (u64, u64)) {
        self.idle = idle;
        self.ends = self.created.saturating_add(absolute);
    }

    /// For how long it may live from its beginning.
    pub(crate) fn lifetime(&self) -> u64 {
        self.ends.saturating_sub(self.created)
    }

    /// When it ends if nobody uses it any more.
    pub(crate) fn until(&self) -> u64 {
        self.touched.saturating_add(self.idle).min(self.ends)
    }

    /// A fifth of the idle time has passed: often enough to keep it alive, and few writes. Where
    /// the clock is behind that of Redis nobody can say.
    pub(crate) fn wants_touch(&self, now: u64) -> bool {
        now >= self.touched.saturating_add(self.idle / 5) || now.saturating_add(SKEW) < self.touched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_end_counts() {
        let times = Times { created: 0, touched: 50, idle: 100, ends: 120 };
        assert_eq!(times.until(), 120);
        assert_eq!(Times { ends: 1_000, ..times }.until(), 150);
        assert!(!times.wants_touch(69));
        assert!(times.wants_touch(70));
        let of_redis = Times { touched: SKEW + 101, ..times };
        assert!(of_redis.wants_touch(100), "our clock is behind: it must not run out in use");
        assert!(!of_redis.wants_touch(101));
    }

    #[test]
    fn what_makes_no_sense_is_mended() {
        let expiry = Expiry::new(Duration::MAX, Duration::ZERO);
        assert_eq!((expiry.idle(), expiry.absolute()), (SHORTEST, SHORTEST));
        assert_eq!(Expiry::new(Duration::MAX, Duration::MAX).absolute(), LONGEST);
    }

    #[test]
    fn the_lives_that_are_promised() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let expiry = Expiry::default();
        assert_eq!((expiry.idle(), expiry.absolute()), (days(1), days(7)));
        let year = Expiry::new(days(30), days(365));
        assert_eq!((year.idle(), year.absolute()), (days(30), days(365)), "nothing is cut");
        assert_eq!(LONGEST, days(3_650));
    }
}
