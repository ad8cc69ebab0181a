//! When to probe again: backoff with jitter, as a pure law.

use std::time::Duration;

use rand::{Rng, RngExt};

/// The first and the last delay between reconnection attempts; it doubles in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    last: Duration,
}

impl Backoff {
    pub(crate) const DEFAULT: Self =
        Self { first: Duration::from_secs(1), last: Duration::from_secs(15) };

    /// Doubling from `first` up to `last`. A `last` below `first` is taken as `first`, and nothing
    /// is shorter than a millisecond.
    pub fn new(first: Duration, last: Duration) -> Self {
        let first = first.max(Duration::from_millis(1));
        Self { first, last: last.max(first) }
    }

    /// The first delay.
    pub const fn first(self) -> Duration {
        self.first
    }

    /// The last delay.
    pub const fn last(self) -> Duration {
        self.last
    }

    /// The delay after this many delays, without jitter.
    pub fn delay(self, nth: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(nth)).min(self.last)
    }

    /// The wait before the first attempt of an outage: up to two first delays, one in the mean, as
    /// `chance` (0 to 1) has it. Instances that lose the same server in the same instant are spread
    /// here, once and widely; the tenth of jitter in the later delays would not spread them.
    pub(crate) fn initial_jitter(self, chance: f64) -> Duration {
        self.first.mul_f64(2.0 * chance)
    }
}

impl Default for Backoff {
    /// 1 s to 15 s.
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// `delay` give or take a tenth.
pub(crate) fn jittered(delay: Duration, rng: &mut impl Rng) -> Duration {
    delay.mul_f64(rng.random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn doubles_to_the_cap() {
        let delays: Vec<u64> = (0..7).map(|n| Backoff::default().delay(n).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 15, 15, 15]);
        assert_eq!(Backoff::default().delay(u32::MAX).as_secs(), 15);
    }

    #[test]
    fn two_hundred_that_lose_redis_together_do_not_return_together() {
        let mut rng = StdRng::seed_from_u64(7);
        for outage in [0.05, 0.4, 0.9, 1.3, 2.0, 3.5, 9.0, 30.0, 100.0] {
            let mut slots = std::collections::HashMap::new();
            for _ in 0..200 {
                let mut at = Backoff::default().initial_jitter(rng.random());
                let mut nth = 0;
                while at.as_secs_f64() < outage {
                    at += jittered(Backoff::default().delay(nth), &mut rng);
                    nth += 1;
                }
                *slots.entry(at.as_millis() / 100).or_insert(0) += 1;
            }
            let most = slots.values().max().copied().unwrap_or(0);
            assert!(most <= 30, "{most} of 200 in one slot after an outage of {outage} s");
        }
    }
}
