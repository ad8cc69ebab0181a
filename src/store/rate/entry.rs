//! What is held of one subject in memory: numbers that many threads change at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::law::{self, Decision, MAX_WINDOWS};
use super::policy::Policy;
use super::subject::Subject;
use crate::memory::Owing;

/// What the hot path reads: 16 bytes, which with the name make half a line of the cache.
pub(super) struct Entry {
    /// When nothing is owed any more in any window. With one window this is its TAT, and all there is.
    clear: AtomicU64,
    pub(super) rest: Box<Rest>,
}

pub(super) struct Rest {
    pub(super) policy: Policy,
    pub(super) subject: Subject,
    /// With one window: its TAT as Redis last told.
    known: AtomicU64,
    /// With several: the TAT of each, here and as Redis last told.
    several: Option<Box<Mutex<[Tats; MAX_WINDOWS]>>>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Tats {
    pub(super) here: u64,
    pub(super) known: u64,
}

impl Entry {
    pub(super) fn new(policy: &Policy, subject: Subject) -> Self {
        let windows = policy.windows().len();
        let several = (windows > 1).then(Box::default);
        let rest = Rest { policy: policy.clone(), subject, known: AtomicU64::new(0), several };
        Self { clear: AtomicU64::new(0), rest: Box::new(rest) }
    }

    /// Relaxed is enough: the number stands for itself, nothing is read by way of it.
    #[inline]
    pub(super) fn decide(&self, policy: &Policy, now: u64, cost: u32) -> Decision {
        let [window] = policy.windows() else {
            return self.decide_several(policy, now, cost);
        };
        let mut tat = self.clear.load(Ordering::Relaxed);
        loop {
            let decision = law::decide_one(window, tat, now, cost);
            let next = now + decision.debts().first().copied().unwrap_or(0);
            // A refusal changes nothing (unless the time was impossible), and then does not contend either.
            if next == tat || (tat <= now && next == now) {
                return decision;
            }
            match self.clear.compare_exchange_weak(tat, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return decision,
                Err(other) => tat = other,
            }
        }
    }

    fn decide_several(&self, policy: &Policy, now: u64, cost: u32) -> Decision {
        self.change(|tats| {
            let mut here = [0; MAX_WINDOWS];
            here.iter_mut().zip(&*tats).for_each(|(here, tat)| *here = tat.here);
            let decision = law::decide(policy.windows(), &here, now, cost);
            tats.iter_mut().zip(decision.debts()).for_each(|(tat, debt)| tat.here = now + debt);
            decision
        })
    }

    /// Changes the TATs of all windows together. Not for the hot path of one window: with one, another
    /// thread's decision in between wins or is counted on top, as `settle` and `seed` need it.
    pub(super) fn change<R>(&self, change: impl Fn(&mut [Tats]) -> R) -> R {
        if let Some(several) = &self.rest.several {
            let mut tats = lock(several);
            let answer = change(&mut tats[..]);
            let clear = tats.iter().map(|tat| tat.here).max().unwrap_or(0);
            self.clear.store(clear, Ordering::Relaxed);
            return answer;
        }
        let mut here = self.clear.load(Ordering::Relaxed);
        loop {
            let known = self.rest.known.load(Ordering::Relaxed);
            let mut one = [Tats { here, known }];
            let answer = change(&mut one);
            match self.clear.compare_exchange_weak(
                here,
                one[0].here,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.rest.known.store(one[0].known, Ordering::Relaxed);
                    return answer;
                }
                Err(other) => here = other,
            }
        }
    }

    /// What is owed here, and what of it Redis knew.
    pub(super) fn debts(&self, now: u64) -> ([u64; MAX_WINDOWS], [u64; MAX_WINDOWS]) {
        let (mut here, mut known) = ([0; MAX_WINDOWS], [0; MAX_WINDOWS]);
        let mut note = |index: usize, tats: &Tats| {
            here[index] = tats.here.saturating_sub(now);
            known[index] = tats.known.saturating_sub(now);
        };
        match &self.rest.several {
            Some(several) => {
                lock(several).iter().enumerate().for_each(|(index, tats)| note(index, tats))
            }
            None => {
                let (here, known) =
                    (self.clear.load(Ordering::Relaxed), self.rest.known.load(Ordering::Relaxed));
                note(0, &Tats { here, known });
            }
        }
        (here, known)
    }

    /// Whether one more would be refused on the share of one of `instances`.
    pub(super) fn held(&self, now: u64, instances: u32) -> bool {
        let (here, _) = self.debts(now);
        let windows = self.rest.policy.whole().iter().map(|window| window.share(instances));
        windows.zip(here).any(|(window, debt)| debt + window.emission > window.tolerance)
    }
}

impl Owing for Entry {
    #[inline]
    fn clear_at(&self) -> u64 {
        self.clear.load(Ordering::Relaxed)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
