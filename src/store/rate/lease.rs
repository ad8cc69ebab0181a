//! Cells taken ahead for one subject: how many of them are still good.

use super::law::{Debts, Decision, MAX_WINDOWS};
use super::window::Window;

/// A lease: cells that Redis has handed out and that are not spent yet. Pure.
///
/// Redis forgets a debt as time passes, and so what is held must lose its worth at the same pace.
/// Otherwise the cells held and those that Redis has got back meanwhile could be spent together,
/// which is more than a burst. With it, in any span of time no more is admitted than without
/// leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lease {
    /// What the cells are worth in each window, in microseconds…
    credit: [u64; MAX_WINDOWS],
    /// …as of this instant.
    at: u64,
    /// When cells were added last (not later than Redis took them).
    filled: u64,
    /// When nothing will be owed any more in each window, all cells counted as spent.
    tats: [u64; MAX_WINDOWS],
}

impl Lease {
    /// Lets the time until `now` wear it off.
    fn wear(&mut self, now: u64) {
        let age = now.saturating_sub(self.at);
        self.credit = self.credit.map(|credit| credit.saturating_sub(age));
        self.at = self.at.max(now);
    }

    /// Spends `cost` cells, when there are that many.
    pub(super) fn spend(&mut self, windows: &[Window], now: u64, cost: u32) -> Option<Decision> {
        self.wear(now);
        if windows.iter().zip(self.credit).any(|(window, credit)| credit < window.price(cost)) {
            return None;
        }
        let mut tats = self.tats;
        for ((credit, tat), window) in self.credit.iter_mut().zip(&mut tats).zip(windows) {
            *credit -= window.price(cost);
            // What is held is not owed by the client.
            *tat = tat.saturating_sub(*credit);
        }
        Some(Decision::admitted(windows, Debts::read(windows, &tats, now)))
    }

    /// Adds cells that Redis was asked for at `asked`, and what is owed there since.
    pub(super) fn add(&mut self, windows: &[Window], asked: u64, cells: u32, debts: &[u64]) {
        self.wear(asked);
        let each = self.credit.iter_mut().zip(&mut self.tats).zip(windows).zip(debts);
        for (((credit, tat), window), debt) in each {
            *credit += window.price(cells);
            *tat = asked + debt;
        }
        self.filled = asked;
    }

    /// Takes out what is not spent `held` microseconds after it was filled, as Redis wants to hear
    /// it: so many cells, taken so long ago.
    pub(super) fn give_up(
        &mut self,
        windows: &[Window],
        now: u64,
        held: u64,
    ) -> Option<(u32, u64)> {
        if now.saturating_sub(self.filled) < held {
            return None;
        }
        self.wear(now);
        let credit = std::mem::take(&mut self.credit);
        let each = || windows.iter().zip(credit);
        let cells = each().map(|(window, credit)| credit.div_ceil(window.emission)).max()?;
        let age = each().map(|(window, credit)| cells * window.emission - credit).max()?;
        u32::try_from(cells).ok().filter(|cells| *cells > 0).map(|cells| (cells, age))
    }
}

#[cfg(test)]
mod tests {
    use super::super::law::decide;
    use super::super::remote_law;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_held_wears_off() {
        let windows = [Window::new(10, 100)];
        let mut lease = Lease::default();
        lease.add(&windows, 1_000, 10, &[100]);
        assert_eq!(lease.spend(&windows, 1_025, 8), None);
        let decision = lease.spend(&windows, 1_025, 3).expect("7 and a half are good");
        assert_eq!(decision.remaining(), 97, "three are owed, whatever is held");
        assert_eq!(lease.clone().give_up(&windows, 1_030, 40), None, "not yet");
        let (cells, age) = lease.give_up(&windows, 1_030, 30).expect("held for long enough");
        assert_eq!(u64::from(cells) * 10 - age, 40);
        assert_eq!(lease.give_up(&windows, 1_030, 30), None);
    }

    #[test]
    fn what_is_left_over_is_not_lost() {
        let windows = [Window::new(10, 100), Window::new(1_000, 50)];
        let mut lease = Lease::default();
        lease.add(&windows, 0, 2, &[20, 2_000]);
        assert!(lease.spend(&windows, 5, 1).is_some());
        assert_eq!(lease.spend(&windows, 5, 1), None, "half of it has worn off");
        lease.add(&windows, 6, 1, &[30, 3_000]);
        assert!(lease.spend(&windows, 6, 1).is_some());
        let (cells, age) = lease.give_up(&windows, 6, 0).expect("a little");
        assert_eq!((cells, age), (1, 6));
    }

    proptest! {
        /// Several instances with leases, and one that asks each time: in no span of time is more
        /// admitted than the burst and what comes back meanwhile.
        #[test]
        fn never_one_admission_over_the_limit(
            emission in 1u64..30, burst in 1u32..30,
            steps in proptest::collection::vec((0u64..60, 0usize..4, 1u32..12, 0u8..8), 1..150),
        ) {
            let windows = [Window::new(emission, burst)];
            let (mut now, mut tat, mut leases) = (1_000u64, 0u64, [Lease::default(); 3]);
            let mut spent: Vec<(u64, u64)> = vec![];
            for (pause, who, cells, what) in steps {
                now += pause;
                match leases.get_mut(who) {
                    None => {
                        let decision = decide(&windows, &[tat], now, 1);
                        tat = now + decision.debts()[0];
                        spent.push((now, u64::from(decision.allowed())));
                    }
                    Some(lease) if what == 0 => {
                        if let Some((cells, age)) = lease.give_up(&windows, now, 0) {
                            tat = now + remote_law::give_back(&windows, &[tat], now, cells, age).as_slice()[0];
                        }
                    }
                    Some(lease) => {
                        if lease.spend(&windows, now, 1).is_none() {
                            let (taken, debts) = remote_law::take_up_to(&windows, &[tat], now, cells);
                            tat = now + debts.as_slice()[0];
                            lease.add(&windows, now, taken, debts.as_slice());
                            if lease.spend(&windows, now, 1).is_none() {
                                continue;
                            }
                        }
                        spent.push((now, 1));
                    }
                }
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
}
