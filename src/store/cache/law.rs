//! The law of a cached value's life, apart from clock and store: how long it is fresh, how long it
//! may be served after that, and when it is loaded again before its end.

use std::time::Duration;

/// How long what was loaded is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lifetime {
    /// Fresh, from the beginning of the load.
    pub(super) ttl: Duration,
    /// Served after that where nothing better can be had.
    pub(super) stale_for: Duration,
}

/// A century: longer lives are cut to it, so that no sum overflows.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Lifetime {
    /// Shortened by a random share of at most `jitter` (0 to 1), so that what was loaded together
    /// does not end together. `draw` is from 0 to 1.
    pub(super) fn jittered(self, jitter: f64, draw: f64) -> Self {
        let left = 1.0 - jitter.clamp(0.0, 1.0) * draw.clamp(0.0, 1.0);
        let ttl = self.ttl.min(LONGEST);
        Self { ttl: ttl.mul_f64(left).min(ttl), stale_for: self.stale_for.min(LONGEST) }
    }
}

/// Is a fresh value to be loaded again already, when it has `left` to live and a load takes `load`?
///
/// "Optimal Probabilistic Cache Stampede Prevention" (Vattani, Chierichetti, Lowenstein; VLDB
/// 2015), known as XFetch: yes if `-beta * load * ln(draw) >= left`, that is with the probability
/// `exp(-left / (beta * load))`. `draw` is from 0 to 1; a `beta` of 0 means never.
pub(super) fn refreshes_early(left: Duration, load: Duration, beta: f64, draw: f64) -> bool {
    beta > 0.0 && -beta * load.as_secs_f64() * draw.ln() >= left.as_secs_f64()
}

/// Beyond so many loads' time before the end [`refreshes_early`] is as good as never (1 in 20 000):
/// no draw is needed.
pub(super) const EARLIEST_REFRESH: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_paper_is_followed() {
        let load = Duration::from_millis(400);
        for (left, probability) in [(100, 0.7788), (400, 0.3679), (2_000, 0.0067)] {
            let left = Duration::from_millis(left);
            let draws = 100_000_u32;
            let early = (0..draws)
                .filter(|n| {
                    refreshes_early(left, load, 1.0, (f64::from(*n) + 0.5) / f64::from(draws))
                })
                .count();
            let share = early as f64 / f64::from(draws);
            assert!((share - probability).abs() < 1e-3, "{left:?}: {share} for {probability}");
        }
        assert!(!refreshes_early(Duration::from_millis(1), load, 0.0, 0.0));
        assert!(refreshes_early(Duration::from_secs(99), load, 1.0, 0.0));
    }

    #[test]
    fn a_century_and_more_is_a_century() {
        let forever = Lifetime { ttl: Duration::MAX, stale_for: Duration::MAX };
        let cut = forever.jittered(0.0, 1.0);
        assert_eq!((cut.ttl, cut.stale_for), (LONGEST, LONGEST));
    }

    proptest! {
        #[test]
        fn jitter_only_shortens(ttl in 0_u64..1 << 50, jitter in -1.0..2.0, draw in 0.0..=1.0) {
            let life = Lifetime { ttl: Duration::from_micros(ttl), stale_for: Duration::ZERO };
            let shorter = life.jittered(jitter, draw);
            prop_assert!(shorter.ttl <= life.ttl.min(LONGEST));
            let least = life.ttl.min(LONGEST).mul_f64(1.0 - jitter.clamp(0.0, 1.0));
            prop_assert!(shorter.ttl + Duration::from_micros(1) >= least);
        }
    }
}
