//! What a job was told, and what of it makes sense.

use std::{ops::RangeInclusive, time::Duration};

use super::{law::MOST_JITTER, lease::Lease};
use crate::{Error, label::is_label};

pub(super) const PERIODS: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(366 * 24 * 3_600);
/// A job without a time-out of its own has its period, and this at least.
const LEAST_TIMEOUT: Duration = Duration::from_secs(60);
/// More runs in a row than anybody means.
const MOST_CATCH_UP: u32 = 1_000;

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) period: Duration,
    pub(super) jitter: f64,
    timeout: Option<Duration>,
    pub(super) needs_redis: bool,
    pub(super) catch_up: u32,
    pub(super) on_recovery: bool,
    pub(super) lease: Option<Lease>,
}

impl Settings {
    pub(super) fn new(period: Duration) -> Self {
        Self {
            period,
            jitter: 0.0,
            timeout: None,
            needs_redis: true,
            catch_up: 0,
            on_recovery: false,
            lease: None,
        }
    }

    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = Some(timeout);
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(self.period.max(LEAST_TIMEOUT))
    }

    /// Whether a change of Redis' state means something to the job.
    pub(super) fn watches_redis(&self) -> bool {
        self.on_recovery || self.lease.is_some() || (self.needs_redis && self.catch_up > 0)
    }

    pub(super) fn check(&self, name: &str) -> Result<(), Error> {
        let wrong = if !is_label(name) {
            "its name is 1 to 64 letters, digits, '-' or '_'"
        } else if !PERIODS.contains(&self.period) {
            "its period is 10 ms to 366 days"
        } else if !(0.0..=MOST_JITTER).contains(&self.jitter) {
            "its jitter is 0 to 0.5 of the period"
        } else if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            "its time-out is more than zero"
        } else if self.catch_up > MOST_CATCH_UP {
            "it catches up 1000 runs at most"
        } else if self
            .lease
            .is_some_and(|lease| !(Lease::SHORTEST..=Lease::LONGEST).contains(&lease.length()))
        {
            "its lease lasts 100 ms to an hour"
        } else if self.lease.is_some() && !self.needs_redis {
            "without Redis nobody can be its single runner: leave with_needs_redis alone"
        } else {
            return Ok(());
        };
        Err(Error::config(format!("the job {name:?}: {wrong}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let of = |change: fn(&mut Settings)| {
            let mut settings = Settings::new(Duration::from_secs(30));
            change(&mut settings);
            settings
        };
        assert!(of(|_| ()).check("sync-seats").is_ok());
        for name in ["", "a b", "a:b", "{a}", "ä", &"a".repeat(65)] {
            assert!(of(|_| ()).check(name).is_err(), "{name}");
        }
        let wrong: [fn(&mut Settings); 13] = [
            |s| s.period = Duration::ZERO,
            |s| s.period = Duration::from_millis(9),
            |s| s.period = Duration::MAX,
            |s| s.jitter = -0.1,
            |s| s.jitter = 0.6,
            |s| s.jitter = f64::NAN,
            |s| s.jitter = f64::INFINITY,
            |s| s.set_timeout(Duration::ZERO),
            |s| s.catch_up = 1_001,
            |s| s.lease = Some(Lease::of(Duration::ZERO)),
            |s| s.lease = Some(Lease::of(Duration::from_secs(3_601))),
            |s| s.lease = Some(Lease::of(Duration::MAX)),
            |s| {
                s.lease = Some(Lease::DEFAULT);
                s.needs_redis = false;
            },
        ];
        for (at, wrong) in wrong.into_iter().enumerate() {
            assert!(of(wrong).check("sync-seats").is_err(), "{at}");
        }
    }
}
