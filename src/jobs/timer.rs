//! When one job is due next.

use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

use super::law::{Grid, delay};

/// The grid of one job, and where on it the job stands.
#[derive(Debug)]
pub(super) struct Timer {
    grid: Grid,
    period: Duration,
    jitter: f64,
    due: Instant,
}

impl Timer {
    /// The first run is due one period from now.
    pub(super) fn new(now: Instant, period: Duration, jitter: f64) -> Self {
        let mut timer = Self { grid: Grid::new(now, period), period, jitter, due: now };
        timer.advance(now);
        timer
    }

    /// When the job is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// On to the next grid point, which is never in the past.
    pub(super) fn advance(&mut self, now: Instant) {
        self.wait_for(self.grid.next_after(now));
    }

    /// The next grid point is this one, as Redis' clock says.
    pub(super) fn anchor(&mut self, point: Instant) {
        self.grid = Grid::new(point, self.period);
        self.wait_for(point);
    }

    fn wait_for(&mut self, point: Instant) {
        self.due = point + delay(self.period, self.jitter, rand::rng().random::<f64>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_jitter_it_stays_on_the_grid() {
        let (start, period) = (Instant::now(), Duration::from_secs(10));
        let mut timer = Timer::new(start, period, 0.5);
        for n in 1..=1_000 {
            let late = timer.due() - (start + period * n);
            assert!(late <= Duration::from_secs(5), "{late:?}");
            timer.advance(timer.due());
        }
    }

    #[test]
    fn an_anchor_moves_the_grid() {
        let (start, period) = (Instant::now(), Duration::from_secs(10));
        let mut timer = Timer::new(start, period, 0.0);
        timer.anchor(start + Duration::from_secs(3));
        assert_eq!(timer.due() - start, Duration::from_secs(3));
        timer.advance(timer.due());
        assert_eq!(timer.due() - start, Duration::from_secs(13));
    }
}
