//! Ticks that had no run: which of them are made up for, and which are still to be counted.

/// Ticks that this instance has skipped, and counted, since it last had an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Skipped {
    /// While Redis was away.
    pub(super) away: u64,
    /// While a run had not ended. They are never made up for: a job that takes longer than its
    /// period would run without a pause.
    pub(super) running: u64,
}

/// What follows from ticks that no instance took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    /// Further runs, right after the one that begins.
    pub(super) up: u32,
    /// Ticks to be counted as skipped.
    pub(super) uncounted: u64,
}

impl Skipped {
    /// `missed` ticks had no run on any instance; `catch_up` of them may be made up for.
    pub(super) fn settle(self, missed: u64, catch_up: u32) -> Made {
        let pool = missed.saturating_sub(self.running);
        let up = pool.min(catch_up.into());
        // Fits: it is no more than `catch_up`.
        Made { up: up as u32, uncounted: pool.saturating_sub(self.away.max(up)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_made_up_for_and_what_is_counted() {
        let settle = |away, running, missed, catch_up| {
            let Made { up, uncounted } = Skipped { away, running }.settle(missed, catch_up);
            (up, uncounted)
        };
        assert_eq!(settle(0, 0, 0, 3), (0, 0));
        assert_eq!(settle(0, 0, 5, 0), (0, 5), "no instance was there");
        assert_eq!(settle(0, 0, 5, 2), (2, 3));
        assert_eq!(settle(5, 0, 5, 1), (1, 0), "counted when they were skipped");
        assert_eq!(settle(0, 5, 5, 3), (0, 0), "its own long run");
        assert_eq!(settle(2, 3, 9, 1), (1, 4));
    }

    proptest! {
        #[test]
        fn nothing_is_counted_twice_and_no_more_is_made_up_than_was_asked(
            away in 0_u64..100, running in 0_u64..100, missed: u64, catch_up in 0_u32..1_000,
        ) {
            let made = Skipped { away, running }.settle(missed, catch_up);
            prop_assert!(made.up <= catch_up && u64::from(made.up) <= missed);
            prop_assert!(made.uncounted <= missed - u64::from(made.up));
        }
    }
}
