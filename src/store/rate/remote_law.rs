//! What only Redis decides, written out for the tests: leases, and charges laid on. `gcra.lua` and
//! `charge.lua` are held to it.

use proptest::prelude::*;

use super::debt::Charge;
use super::law::{Debts, decide};
use super::window::Window;

/// Takes as many of `wanted` cells as every window has room for (a lease); maybe none.
pub(crate) fn take_up_to(windows: &[Window], tats: &[u64], now: u64, wanted: u32) -> (u32, Debts) {
    let mut debts = Debts::read(windows, tats, now);
    let room =
        debts.as_slice().iter().zip(windows).map(|(debt, window)| window.remaining(*debt)).min();
    let taken = wanted.min(room.unwrap_or(0));
    for (debt, window) in debts.iter_mut().zip(windows) {
        *debt += window.price(taken);
    }
    (taken, debts)
}

/// Gives back `cells` that were taken `age` microseconds ago and not spent.
///
/// Some of what they cost may have decayed since, and time does not run twice: giving all of it
/// back would pay for what others spent meanwhile. So each window gets back what cannot have
/// decayed yet, which never lets more through than if the cells had not been taken.
pub(crate) fn give_back(windows: &[Window], tats: &[u64], now: u64, cells: u32, age: u64) -> Debts {
    let mut debts = Debts::read(windows, tats, now);
    for (debt, window) in debts.iter_mut().zip(windows) {
        *debt = debt
            .saturating_sub(u64::from(cells).saturating_mul(window.emission).saturating_sub(age));
    }
    debts
}

/// Lays a charge on what Redis holds; never beyond the tolerance, so nobody is shut out for longer
/// than a full burst.
pub(crate) fn charge(windows: &[Window], tats: &[u64], now: u64, charge: &Charge) -> Debts {
    let mut debts = Debts::read(windows, tats, now);
    let each = charge.add.iter().zip(&charge.floor).zip(windows);
    for (debt, ((add, floor), window)) in debts.iter_mut().zip(each) {
        *debt = (*debt).max(*floor).saturating_add(*add).min(window.tolerance);
    }
    debts
}

proptest! {
    /// With leases taken, partly spent and given back, no more is spent than burst + elapsed /
    /// emission.
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
}
