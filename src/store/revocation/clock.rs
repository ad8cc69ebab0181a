//! Wall-clock times, and a now that never lets a revocation go too early.

use crate::units;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Expiries in memory count seconds from here: 32 bits reach to 2156.
const BASE: u64 = 1_577_836_800;
/// The longest life of a revocation.
pub(super) const CENTURY: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);
/// Kept for longer than asked: the clocks of those who judge the token's own expiry may disagree.
pub(super) const GRACE: u64 = 120;

/// Milliseconds since 1970; what is earlier counts as 1970.
pub(super) fn millis(at: SystemTime) -> u64 {
    units::millis(units::since_1970(at))
}

/// Whole seconds since 1970, rounded up.
pub(super) fn seconds_up(at: SystemTime) -> u64 {
    millis(at).div_ceil(1000)
}

/// An expiry in four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Until(u32);

impl Until {
    pub(super) fn from_unix(seconds: u64) -> Self {
        Self(u32::try_from(seconds.saturating_sub(BASE)).unwrap_or(u32::MAX))
    }

    pub(super) fn unix(self) -> u64 {
        u64::from(self.0) + BASE
    }

    /// Nobody can still take the token for valid.
    pub(super) fn is_over(self, now: u64) -> bool {
        self.unix() + GRACE < now / 1000
    }
}

/// Knows the time in two ways: from the wall, and from the wall at the start plus what has passed
/// since.
#[derive(Debug)]
pub(super) struct Clock {
    wall: u64,
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { wall: millis(SystemTime::now()), start: Instant::now() }
    }

    /// The earlier of the two, in milliseconds since 1970: a wall clock that steps forward makes
    /// nothing expire early, and one that was ahead at the start and has been put right does not
    /// either.
    pub(super) fn now(&self) -> u64 {
        let passed = units::millis(self.start.elapsed());
        millis(SystemTime::now()).min(self.wall.saturating_add(passed))
    }

    /// The later of the two: for cut-offs, that they leave nothing out.
    pub(super) fn latest(&self) -> u64 {
        let passed = units::millis(self.start.elapsed());
        millis(SystemTime::now()).max(self.wall.saturating_add(passed))
    }

    /// Seconds since the start, from 1: never 0.
    pub(super) fn tick(&self) -> u32 {
        self.tick_of(Instant::now())
    }

    pub(super) fn tick_of(&self, at: Instant) -> u32 {
        let passed: Duration = at.saturating_duration_since(self.start);
        u32::try_from(passed.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_fit_for_a_century_and_have_a_grace() {
        let century = BASE + 130 * 366 * 86_400;
        assert_eq!(Until::from_unix(century).unix(), century);
        let until = Until::from_unix(BASE + 100);
        assert!(!until.is_over((BASE + 100 + GRACE) * 1000));
        assert!(until.is_over((BASE + 100 + GRACE + 1) * 1000));
        assert_eq!(Until::from_unix(0).unix(), BASE);
    }

    #[test]
    fn a_step_of_the_wall_clock_makes_nothing_expire_early() {
        let hour = 3_600_000;
        let true_now = millis(SystemTime::now());
        // Stepped forward since the start: the time that has passed is believed.
        let stepped = Clock { wall: true_now - hour, start: Instant::now() };
        assert!(stepped.now() < true_now - hour + 10_000);
        // Ahead at the start, put right since: the wall is believed.
        let ahead = Clock { wall: true_now + hour, start: Instant::now() };
        assert!(ahead.now() < true_now + 10_000);
        assert!(ahead.latest() >= true_now + hour);
    }
}
