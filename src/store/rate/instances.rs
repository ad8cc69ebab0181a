//! How many instances share the limit: heartbeats in Redis, and what is made of them.

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

use crate::Error;
use crate::redis::{Connection, Redis, Script};

const SCRIPT: &str = include_str!("instances.lua");

/// Heartbeats that may be missed before an instance counts as gone.
const BEATS: u32 = 3;

/// The newest counts, one for each of the last [`BEATS`] periods and this one.
///
/// The largest of them is believed: more at once, fewer only after all have said so. Right after an outage
/// the others have not written their heartbeats again, and taking oneself for the only one left would hand the
/// whole limit to each.
pub(super) struct Census {
    period: Duration,
    counts: [u32; BEATS as usize + 1],
    begun: Option<Instant>,
}

impl Census {
    pub(super) fn new(period: Duration, expected: NonZeroU32) -> Self {
        Self { period, counts: [expected.get(); BEATS as usize + 1], begun: None }
    }

    /// Takes note of a count, and says how many are to be reckoned with.
    pub(super) fn note(&mut self, count: u32, now: Instant) -> NonZeroU32 {
        // Beats after a reconnect come thick and fast; only time makes an old count old. A little less than a period,
        // since beats are jittered.
        let is_over = |begun: Instant| now.duration_since(begun) >= self.period.mul_f64(0.8);
        if self.begun.is_none_or(is_over) {
            self.counts.rotate_right(1);
            self.counts[0] = count;
            self.begun = Some(now);
        } else {
            self.counts[0] = self.counts[0].max(count);
        }
        let most = self.counts.iter().copied().max().unwrap_or(1);
        NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN)
    }
}

/// Writes the heartbeats of this instance.
pub(super) struct Heartbeat {
    script: Script,
    key: String,
    member: String,
    lasts: Duration,
}

impl Heartbeat {
    pub(super) fn new(redis: &Redis, period: Duration) -> Self {
        // Instances that were given the same name by mistake still count apart.
        static PROCESS: OnceLock<u64> = OnceLock::new();
        let process = PROCESS.get_or_init(rand::random);
        Self {
            script: Script::new(SCRIPT),
            key: format!("{}:rate:instances", redis.namespace()),
            member: format!("{}:{process:016x}", redis.instance_id()),
            lasts: period * BEATS,
        }
    }

    /// Says that this instance is alive; how many are?
    pub(super) async fn beat(&self, connection: &mut Connection) -> Result<u32, Error> {
        let lasts = u64::try_from(self.lasts.as_millis()).unwrap_or(u64::MAX).max(1);
        self.script.prepare(&[&self.key]).arg(&self.member).arg(lasts).run(connection).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(5);

    fn of(instances: u32) -> NonZeroU32 {
        NonZeroU32::new(instances).expect("not zero")
    }

    #[tokio::test(start_paused = true)]
    async fn more_at_once_and_fewer_when_it_is_sure() {
        let mut census = Census::new(PERIOD, of(1));
        let mut at = Instant::now();
        let mut noted = |seconds, count| {
            at += Duration::from_secs(seconds);
            census.note(count, at).get()
        };
        assert_eq!(noted(0, 1), 1);
        assert_eq!(noted(5, 4), 4);
        assert_eq!([noted(5, 1), noted(5, 1), noted(5, 1)], [4, 4, 4]);
        assert_eq!(noted(5, 1), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn flapping_does_not_hurry_it() {
        let mut census = Census::new(PERIOD, of(1));
        let mut at = Instant::now();
        assert_eq!(census.note(4, at).get(), 4);
        for _ in 0..30 {
            at += Duration::from_millis(300);
            assert_eq!(census.note(1, at).get(), 4);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_expected_holds_until_it_is_known_better() {
        let mut census = Census::new(PERIOD, of(6));
        let start = Instant::now();
        let counts: Vec<u32> = (0..4).map(|n| census.note(2, start + PERIOD * n).get()).collect();
        assert_eq!(counts, [6, 6, 6, 2]);
    }
}
