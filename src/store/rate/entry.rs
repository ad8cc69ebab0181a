//! What is held of one subject in memory: numbers that many threads change at once.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
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
    /// With one window: the rest of its [`Tats`]. Changed only under `several`, read without.
    known: AtomicU64,
    paid: AtomicU64,
    /// By how much `known` may be too early, in microseconds: how long the answer took that it comes from.
    late: AtomicU32,
    /// With several windows: all of theirs. With one it only keeps those who change something apart.
    several: Mutex<Option<Box<[Tats; MAX_WINDOWS]>>>,
}

/// Three instants of one window; `known <= paid <= here`, as far as they lie ahead.
#[derive(Clone, Copy, Default)]
pub(super) struct Tats {
    /// When nothing is owed any more, here.
    pub(super) here: u64,
    /// The same as Redis last told.
    pub(super) known: u64,
    /// What lies between this and `here` was spent here and Redis has not been charged for it.
    pub(super) paid: u64,
}

impl Tats {
    /// Spent here and not charged.
    pub(super) fn unpaid(&self, now: u64) -> u64 {
        self.here.saturating_sub(self.paid.max(now))
    }

    /// Redis said, at some moment between the two, that this much is owed: what is unpaid comes on top of it. The deny
    /// cache reckons with the earlier, and so never refuses what Redis would admit; an outage with the later, and so never admits
    /// what Redis would refuse.
    pub(super) fn learn(&mut self, (asked, answered): (u64, u64), debt: u64) {
        let unpaid = self.unpaid(answered);
        self.known = self.known.max(asked + debt);
        self.paid = self.paid.max(answered + debt);
        self.here = self.here.max(self.paid + unpaid);
    }

    /// Less is owed, here and there.
    pub(super) fn lower(&mut self, by: u64) {
        for tat in [&mut self.here, &mut self.paid, &mut self.known] {
            *tat = tat.saturating_sub(by);
        }
    }

    /// Redis has been charged for what was unpaid at `at`, `charged`, and says that this much is owed now. `here` is not
    /// lowered: it tells how much of its own share this instance has used, so that an outage that comes and goes
    /// does not hand it out again.
    pub(super) fn settle(&mut self, at: u64, charged: u64, now: u64, debt: u64) {
        self.paid = (self.paid.max(at) + charged).min(self.here.max(now));
        let unpaid = self.unpaid(now);
        self.known = now + debt;
        self.paid = self.paid.max(self.known);
        self.here = self.here.max(self.paid + unpaid);
    }
}

impl Entry {
    pub(super) fn new(policy: &Policy, subject: Subject) -> Self {
        let several = Mutex::new((policy.windows().len() > 1).then(Box::default));
        let (known, paid) = (AtomicU64::new(0), AtomicU64::new(0));
        let late = AtomicU32::new(0);
        let rest = Rest { policy: policy.clone(), subject, known, paid, late, several };
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

    /// Changes all windows together. With one window, a decision in between is counted on top.
    pub(super) fn change<R>(&self, change: impl Fn(&mut [Tats]) -> R) -> R {
        let mut several = lock(&self.rest.several);
        if let Some(tats) = several.as_deref_mut() {
            let answer = change(tats);
            let clear = tats.iter().map(|tat| tat.here).max().unwrap_or(0);
            self.clear.store(clear, Ordering::Relaxed);
            return answer;
        }
        loop {
            let before = self.one();
            let mut one = [before];
            let answer = change(&mut one);
            let [after] = one;
            let (from, to) = (before.here, after.here);
            if self.clear.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                self.rest.known.store(after.known, Ordering::Relaxed);
                self.rest.paid.store(after.paid, Ordering::Relaxed);
                return answer;
            }
        }
    }

    /// Redis was asked at `asked`, and this is what it said was owed at some moment until `answered`.
    pub(super) fn learn(&self, asked: u64, answered: u64, debts: &[u64]) {
        self.change(|tats| {
            for (tats, debt) in tats.iter_mut().zip(debts) {
                tats.learn((asked, answered), *debt);
            }
        });
        let took = u32::try_from(answered.saturating_sub(asked)).unwrap_or(u32::MAX);
        self.rest.late.store(took, Ordering::Relaxed);
    }

    /// By how much what Redis told may be too early.
    pub(super) fn late(&self) -> u64 {
        self.rest.late.load(Ordering::Relaxed).into()
    }

    fn one(&self) -> Tats {
        Tats {
            here: self.clear.load(Ordering::Relaxed),
            known: self.rest.known.load(Ordering::Relaxed),
            paid: self.rest.paid.load(Ordering::Relaxed),
        }
    }

    /// Every window, as it is now.
    pub(super) fn tats(&self) -> [Tats; MAX_WINDOWS] {
        if self.rest.policy.windows().len() > 1
            && let Some(tats) = lock(&self.rest.several).as_deref()
        {
            return *tats;
        }
        let mut tats = [Tats::default(); MAX_WINDOWS];
        tats[0] = self.one();
        tats
    }

    /// Whether one more would be refused on the share of one of `instances`.
    pub(super) fn held(&self, now: u64, instances: u32) -> bool {
        let debts = self.tats().map(|tats| tats.here.saturating_sub(now));
        let mut each = self.rest.policy.whole().iter().zip(debts);
        each.any(|(window, debt)| window.is_spent(debt, instances))
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
