//! A loader that fails again and again is left alone for a while.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// So many failures in a row.
const FAILURES: u32 = 5;
/// Microseconds.
const PAUSE: u64 = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct CoolOff {
    failures: AtomicU32,
    until: AtomicU64,
}

impl CoolOff {
    /// May the loader be asked? After each pause one request finds out.
    pub(super) fn admits(&self, now: u64) -> bool {
        if self.failures.load(Ordering::Relaxed) < FAILURES {
            return true;
        }
        let until = self.until.load(Ordering::Relaxed);
        until <= now
            && self
                .until
                .compare_exchange(until, now + PAUSE, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    pub(super) fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, now: u64) {
        let more = |failures: u32| Some(failures.saturating_add(1));
        let before = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if before.is_ok_and(|before| before + 1 >= FAILURES) {
            self.until.store(now + PAUSE, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_a_row_are_followed_by_a_pause_after_which_one_finds_out() {
        let cool_off = CoolOff::default();
        for now in 0..4 {
            cool_off.failed(now);
            assert!(cool_off.admits(now));
        }
        cool_off.failed(10);
        assert!(!cool_off.admits(10) && !cool_off.admits(9 + PAUSE));
        assert!(cool_off.admits(10 + PAUSE));
        assert!(!cool_off.admits(11 + PAUSE), "one at a time");
        cool_off.succeeded();
        assert!(cool_off.admits(11 + PAUSE));
    }
}
