//! The law of the schedule: grid points, a whole number of periods after the grid's origin.

use std::time::Duration;

use tokio::time::Instant;

/// When a job is due: at `origin + n · period`. Nothing in it depends on when the last run was, so
/// it does not drift, and a point that was missed is not made up for by a burst.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    origin: Instant,
    period: Duration,
}

impl Grid {
    pub(super) const fn new(origin: Instant, period: Duration) -> Self {
        Self { origin, period }
    }

    /// The first grid point later than `now`.
    pub(super) fn next_after(&self, now: Instant) -> Instant {
        match now.checked_duration_since(self.origin) {
            Some(elapsed) => self.origin + next_point(elapsed, self.period),
            None => self.origin,
        }
    }
}

/// The first multiple of `period` that is more than `elapsed`.
pub(super) fn next_point(elapsed: Duration, period: Duration) -> Duration {
    let period = period.max(Duration::from_nanos(1)).as_nanos();
    let nanos = (elapsed.as_nanos() / period + 1) * period;
    const SECOND: u128 = 1_000_000_000;
    let seconds = u64::try_from(nanos / SECOND).unwrap_or(u64::MAX);
    // Less than a second: it fits.
    Duration::new(seconds, (nanos % SECOND) as u32)
}

/// How much later than its grid point a run begins: `drawn`, from 0 to 1, of the `share`.
pub(super) fn delay(period: Duration, share: f64, drawn: f64) -> Duration {
    period.mul_f64(share.clamp(0.0, MOST_JITTER) * drawn.clamp(0.0, 1.0))
}

/// More would leave nothing of the regularity.
pub(super) const MOST_JITTER: f64 = 0.5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_next_point_is_ahead_by_no_more_than_a_period_and_on_the_grid(
            elapsed in 0_u64..10_000_000_000_000,
            period in 1_u64..1_000_000_000_000,
        ) {
            let next = next_point(Duration::from_nanos(elapsed), Duration::from_nanos(period));
            let next = u64::try_from(next.as_nanos()).unwrap();
            prop_assert!(next > elapsed && next - elapsed <= period);
            prop_assert_eq!(next % period, 0);
        }

        #[test]
        fn whatever_is_slept_too_long_the_points_stay_on_the_grid_and_none_comes_twice(
            period in 1_u64..10_000,
            late in prop::collection::vec(0_u64..100_000, 1..200),
        ) {
            let (mut now, mut last) = (0, 0);
            for late in late {
                let next = next_point(Duration::from_micros(now), Duration::from_micros(period));
                let next = u64::try_from(next.as_micros()).unwrap();
                prop_assert!(next > last && next % period == 0);
                (last, now) = (next, next + late);
            }
        }

        #[test]
        fn jitter_never_reaches_the_next_point(
            period in 1_u64..u64::MAX / 2, share in 0.0..2.0_f64, drawn in -1.0..2.0_f64,
        ) {
            let period = Duration::from_nanos(period);
            prop_assert!(delay(period, share, drawn) <= period.mul_f64(MOST_JITTER));
        }
    }

    #[test]
    fn a_thousand_periods_drift_by_nothing() {
        let (start, period) = (Instant::now(), Duration::from_millis(333));
        let grid = Grid::new(start, period);
        let mut now = start;
        for _ in 0..1_000 {
            // The timer wakes late, by up to what it likes.
            now = grid.next_after(now) + Duration::from_micros(900);
        }
        assert_eq!(now - start, period * 1_000 + Duration::from_micros(900));
    }

    #[test]
    fn before_its_origin_the_origin_is_next() {
        let start = Instant::now();
        let grid = Grid::new(start + Duration::from_secs(5), Duration::from_secs(10));
        assert_eq!(grid.next_after(start) - start, Duration::from_secs(5));
        assert_eq!(
            grid.next_after(start + Duration::from_secs(5)),
            start + Duration::from_secs(15)
        );
    }
}
