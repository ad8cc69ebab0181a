//! What a subject owes Redis after an outage. Pure, in the units of `law`.

use super::law::MAX_WINDOWS;

/// What a subject owes Redis after an outage, in microseconds for each window of the whole limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    /// Spent here during the outage and not decayed yet: added, once for each instance.
    pub(crate) add: [u64; MAX_WINDOWS],
    /// What is left of the debt that Redis itself had told us of: it stands there, unless Redis
    /// lost it. Restored, not added: every instance may know of the same.
    pub(crate) floor: [u64; MAX_WINDOWS],
}

/// What a subject owes Redis: `unsettled` was spent here, on one of `share` shares, and not charged
/// yet; `remote` is what is left of what Redis said. A cell costs `share` times as much time here
/// as in the whole limit.
pub(crate) fn owed(share: u32, unsettled: &[u64], remote: &[u64]) -> Charge {
    let mut charge = Charge { add: [0; MAX_WINDOWS], floor: [0; MAX_WINDOWS] };
    let each = charge.add.iter_mut().zip(&mut charge.floor);
    for ((add, floor), (unsettled, remote)) in each.zip(unsettled.iter().zip(remote)) {
        *add = unsettled.div_ceil(u64::from(share.max(1)));
        *floor = *remote;
    }
    charge
}

impl Charge {
    /// What is left of it after `elapsed` microseconds: what Redis knew of decays first, as it does
    /// there.
    pub(crate) fn after(&self, elapsed: u64) -> Self {
        let mut left = *self;
        for (add, floor) in left.add.iter_mut().zip(&mut left.floor) {
            *add = add.saturating_sub(elapsed.saturating_sub(*floor));
            *floor = floor.saturating_sub(elapsed);
        }
        left
    }

    /// Whether anything was spent.
    pub(crate) fn is_due(&self) -> bool {
        self.add != [0; MAX_WINDOWS]
    }

    /// Whether Redis was known to hold anything.
    pub(crate) fn is_known(&self) -> bool {
        self.floor != [0; MAX_WINDOWS]
    }
}

#[cfg(test)]
mod tests {
    use super::super::law::decide;
    use super::super::remote_law::charge;
    use super::super::window::Window;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_spent_is_told_from_what_redis_knew() {
        let both = owed(5, &[500], &[300]);
        assert_eq!((both.add[0], both.floor[0]), (100, 300));
        assert!(!owed(5, &[0], &[300]).is_due());
        assert!(!owed(5, &[500], &[0]).is_known());
    }

    #[test]
    fn a_charge_that_waits_decays() {
        let charge = owed(1, &[100], &[300]);
        let left = |elapsed| (charge.after(elapsed).add[0], charge.after(elapsed).floor[0]);
        assert_eq!((left(0), left(200), left(350)), ((100, 300), (100, 100), (50, 0)));
        assert_eq!(left(400), (0, 0), "an outage longer than the window owes nothing");
    }

    #[test]
    fn the_whole_is_the_sum_of_equal_shares() {
        let whole = [Window::new(600_000, 100)];
        let share = [whole[0].share(4)];
        let (mut tat, mut spent) = (0, 0);
        while decide(&share, &[tat], 0, 1).allowed() {
            tat += share[0].emission;
            spent += 1;
        }
        assert_eq!(spent, 25);
        let mut redis = 0;
        for _ in 0..4 {
            redis = charge(&whole, &[redis], 0, &owed(4, &[tat], &[0])).as_slice()[0];
        }
        assert_eq!(
            redis, whole[0].tolerance,
            "four instances at their limit owe exactly the limit"
        );
    }

    proptest! {
        #[test]
        fn a_charge_never_passes_the_tolerance(
            emission in 1u64..1_000, burst in 1u32..100, tat in any::<u64>(), now in 0u64..1 << 52,
            add in any::<u64>(), floor in any::<u64>(),
        ) {
            let windows = [Window::new(emission, burst)];
            let on = Charge { add: [add; MAX_WINDOWS], floor: [floor; MAX_WINDOWS] };
            let after = charge(&windows, &[tat], now, &on).as_slice()[0];
            prop_assert!(after <= windows[0].tolerance);
            prop_assert!(after >= add.min(windows[0].tolerance));
        }
    }
}
