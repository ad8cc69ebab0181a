//! How long it is waited before a connection that listens is made again.

use std::time::Duration;

use tokio::time::Instant;

/// After the first losses.
const FIRST: Duration = Duration::from_millis(100);
/// After many in a row.
const LONGEST: Duration = Duration::from_secs(5);
/// Connections that had been of use can be lost this often in quick succession,
const QUICK: u32 = 30;
/// and once more for each of these spans.
const REFILL: Duration = Duration::from_secs(2);
/// The share by which a pause is lengthened at random at most: instances that lost their
/// connections together do not return together.
const SPREAD: f64 = 0.2;

/// The law of pauses: short after a connection that was of use, longer each time after one that was
/// not.
///
/// How long a connection lived does not say which it was: a server that does not want it may end it
/// after any time, and `CLIENT KILL` hits one that is a moment old. Whether anything was heard on
/// it does.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    useless: u32,
    quick: u32,
    refilled: Instant,
}

impl Pauses {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: FIRST, useless: 0, quick: QUICK, refilled: now }
    }

    /// The pause after a connection that was lost `now`, or could not be made. `was_of_use`:
    /// something was heard on it after it had caught up.
    pub(super) fn after(&mut self, now: Instant, was_of_use: bool) -> Duration {
        self.refill(now);
        if was_of_use {
            (self.useless, self.next) = (0, FIRST);
            let is_quick = self.quick > 0;
            self.quick = self.quick.saturating_sub(1);
            return if is_quick { FIRST } else { REFILL };
        }
        let pause = self.next;
        self.useless = self.useless.saturating_add(1);
        if self.useless > 1 {
            self.next = (self.next * 2).min(LONGEST);
        }
        pause
    }

    fn refill(&mut self, now: Instant) {
        let spans = now.duration_since(self.refilled).as_secs() / REFILL.as_secs();
        let spans = u32::try_from(spans).unwrap_or(u32::MAX);
        self.quick = self.quick.saturating_add(spans).min(QUICK);
        self.refilled += REFILL.saturating_mul(spans);
    }
}

pub(super) fn spread(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(1.0..1.0 + SPREAD))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often in half a minute a connection is made whose life is `life` each time.
    fn attempts(life: Duration, was_of_use: bool) -> u32 {
        let began = Instant::now();
        let (mut pauses, mut now, mut attempts) = (Pauses::new(began), began, 0);
        while now.duration_since(began) < Duration::from_secs(30) {
            attempts += 1;
            now += life;
            now += pauses.after(now, was_of_use);
        }
        attempts
    }

    #[test]
    fn a_server_that_ends_each_connection_is_not_hammered() {
        for life in [0, 5, 300, 700].map(Duration::from_millis) {
            let attempts = attempts(life, false);
            assert!((8..=12).contains(&attempts), "{attempts} with {life:?}");
        }
    }

    #[test]
    fn nor_is_one_that_lets_something_be_heard_first() {
        let attempts = attempts(Duration::from_millis(5), true);
        assert!((QUICK..=QUICK + 30).contains(&attempts), "{attempts}");
    }

    #[test]
    fn twenty_losses_of_what_was_of_use_each_cost_the_first_pause() {
        let mut now = Instant::now();
        let mut pauses = Pauses::new(now);
        for _ in 0..20 {
            assert_eq!(pauses.after(now, true), FIRST);
            now += FIRST;
        }
    }

    #[test]
    fn what_is_of_use_again_ends_the_long_pauses() {
        let mut now = Instant::now();
        let mut pauses = Pauses::new(now);
        for _ in 0..20 {
            now += pauses.after(now, false);
        }
        assert_eq!(pauses.after(now, false), LONGEST);
        assert_eq!(pauses.after(now, true), FIRST);
        assert_eq!(pauses.after(now, false), FIRST);
    }
}
