//! The law of what is taken ahead and settled afterwards: leases, and the debts of an outage. Pure, in the
//! units of `law`; `gcra.lua` and `charge.lua` say the same and are held to it.

use super::law::{Debts, MAX_WINDOWS};
use super::window::Window;

/// Takes as many of `wanted` cells as every window has room for (a lease); maybe none.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "Redis decides on leases; this is what its script is held to")
)]
pub(crate) fn take_up_to(windows: &[Window], tats: &[u64], now: u64, wanted: u32) -> (u32, Debts) {
    let mut debts = Debts::read(windows, tats, now);
    let room =
        debts.as_slice().iter().zip(windows).map(|(debt, window)| window.remaining(*debt)).min();
    let taken = wanted.min(room.unwrap_or(0));
    debts.add(windows, taken);
    (taken, debts)
}

/// Gives back `cells` that were taken `age` microseconds ago and not spent.
///
/// Some of what they cost may have decayed since, and time does not run twice: giving all of it back would
/// pay for what others spent meanwhile. So each window gets back what cannot have decayed yet, which
/// never lets more through than if the cells had not been taken.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "Redis decides on leases; this is what its script is held to")
)]
pub(crate) fn give_back(windows: &[Window], tats: &[u64], now: u64, cells: u32, age: u64) -> Debts {
    let mut debts = Debts::read(windows, tats, now);
    for (debt, window) in debts.iter_mut().zip(windows) {
        *debt = debt
            .saturating_sub(u64::from(cells).saturating_mul(window.emission).saturating_sub(age));
    }
    debts
}

/// What a subject owes Redis after an outage, in microseconds for each window of the whole limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    /// Spent here during the outage and not decayed yet: added, once for each instance.
    pub(crate) add: [u64; MAX_WINDOWS],
    /// What is left of the debt that Redis itself had told us of: it stands there, unless Redis lost it.
    /// Restored, not added: every instance may know of the same.
    pub(crate) floor: [u64; MAX_WINDOWS],
}

/// What a subject owes Redis: `unsettled` was spent here, on one of `share` shares, and not charged yet;
/// `remote` is what is left of what Redis said. A cell costs `share` times as much time here as in the
/// whole limit.
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
    /// What is left of it after `elapsed` microseconds: what Redis knew of decays first, as it does there.
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

/// Lays a charge on what Redis holds; never beyond the tolerance, so nobody is shut out for longer than a
/// full burst.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "Redis lays on the charge; this is what its script is held to")
)]
pub(crate) fn charge(windows: &[Window], tats: &[u64], now: u64, charge: &Charge) -> Debts {
    let mut debts = Debts::read(windows, tats, now);
    let each = charge.add.iter().zip(&charge.floor).zip(windows);
    for (debt, ((add, floor), window)) in debts.iter_mut().zip(each) {
        *debt = (*debt).max(*floor).saturating_add(*add).min(window.tolerance);
    }
    debts
}

#[cfg(test)]
mod tests {
    use super::super::law::decide;
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
        /// With leases taken, partly spent and given back, no more is spent than burst + elapsed / emission.
        #[test]
        fn leases_never_let_more_through(
            emission in 1u64..50, burst in 1u32..20,
            steps in proptest::collection::vec((0u64..400, 1u32..8, 0u32..8, 0u64..300), 1..60),
        ) {
            let windows = [Window::new(emission, burst)];
            let (mut now, mut tat, mut spent) = (1_000u64, 0u64, vec![]);
            for (pause, wanted, keep, held) in steps {
                now += pause;
                let (taken, debts) = take_up_to(&windows, &[tat], now, wanted);
                tat = now + debts.as_slice()[0];
                let used = taken.min(keep);
                spent.push((now, u64::from(used)));
                // Someone else spends while the lease is out.
                let other = decide(&windows, &[tat], now + held / 2, 1);
                tat = now + held / 2 + other.debts()[0];
                spent.push((now + held / 2, u64::from(other.allowed())));
                now += held;
                tat = now + give_back(&windows, &[tat], now, taken - used, held).as_slice()[0];
            }
            for (index, (from, _)) in spent.iter().enumerate() {
                let mut sum = 0;
                for (until, cells) in &spent[index..] {
                    sum += cells;
                    prop_assert!(sum <= u64::from(burst) + (until - from) / emission, "{sum} in {}", until - from);
                }
            }
        }

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
