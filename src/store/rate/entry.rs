//! What is held of one subject in memory: numbers that many threads change at once.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::law::{self, Decision, MAX_WINDOWS};
use super::policy::RatePolicy;
use super::subject::Subject;
use crate::memory::Decaying;

/// What the hot path reads: 16 bytes, which with the name make half a line of the cache.
pub(super) struct Entry {
    /// When nothing is owed any more in any window. With one window this is its
    /// [`local`](WindowState::local), and all that a decision needs.
    local: AtomicU64,
    pub(super) cold: Box<Cold>,
}

/// What only learning, settling and the deny cache read.
pub(super) struct Cold {
    pub(super) policy: RatePolicy,
    pub(super) subject: Subject,
    /// With one window: the rest of its [`WindowState`]. Changed only under `multi`, read without.
    remote: AtomicU64,
    settled: AtomicU64,
    /// By how much `remote` may be too early, in microseconds: how long the answer took that it
    /// comes from.
    remote_latency: AtomicU32,
    /// With several windows: all of theirs. With one it only keeps those apart who change
    /// something.
    multi: Mutex<Option<Box<[WindowState; MAX_WINDOWS]>>>,
}

/// Three instants of one window; `remote <= settled <= local`, as far as they lie ahead.
#[derive(Clone, Copy, Default)]
pub(super) struct WindowState {
    /// When nothing is owed any more, as this instance counts.
    pub(super) local: u64,
    /// The same as Redis last told.
    pub(super) remote: u64,
    /// What lies between this and `local` was spent here, and Redis has not been charged for it.
    pub(super) settled: u64,
}

impl WindowState {
    /// Spent here and not charged.
    pub(super) fn unsettled(&self, now: u64) -> u64 {
        self.local.saturating_sub(self.settled.max(now))
    }

    /// Redis said, at some moment between the two, that this much is owed: what is unsettled comes
    /// on top of it. The deny cache reckons with the earlier, and so never refuses what Redis would
    /// admit; an outage with the later, and so never admits what Redis would refuse.
    fn learn(&mut self, (asked, answered): (u64, u64), debt: u64) {
        let unsettled = self.unsettled(answered);
        self.remote = self.remote.max(asked + debt);
        self.settled = self.settled.max(answered + debt);
        self.local = self.local.max(self.settled + unsettled);
    }

    /// Less is owed, here and there.
    pub(super) fn lower(&mut self, by: u64) {
        for tat in [&mut self.local, &mut self.settled, &mut self.remote] {
            *tat = tat.saturating_sub(by);
        }
    }

    /// Redis has been charged for what was unsettled at `at`, `charged`, and says that this much is
    /// owed now. `local` is not lowered: it tells how much of its own share this instance has used,
    /// so that an outage that comes and goes does not hand it out again.
    pub(super) fn settle(&mut self, at: u64, charged: u64, now: u64, debt: u64) {
        self.settled = (self.settled.max(at) + charged).min(self.local.max(now));
        let unsettled = self.unsettled(now);
        self.remote = now + debt;
        self.settled = self.settled.max(self.remote);
        self.local = self.local.max(self.settled + unsettled);
    }
}

impl Entry {
    pub(super) fn new(policy: &RatePolicy, subject: Subject) -> Self {
        let cold = Cold {
            policy: policy.clone(),
            subject,
            remote: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            remote_latency: AtomicU32::new(0),
            multi: Mutex::new((policy.windows().len() > 1).then(Box::default)),
        };
        Self { local: AtomicU64::new(0), cold: Box::new(cold) }
    }

    /// Relaxed is enough: the number stands for itself, nothing is read by way of it.
    #[inline]
    pub(super) fn decide(&self, policy: &RatePolicy, now: u64, cost: u32) -> Decision {
        let [window] = policy.windows() else {
            return self.decide_multi(policy, now, cost);
        };
        let mut tat = self.local.load(Ordering::Relaxed);
        loop {
            let decision = law::decide_one(window, tat, now, cost);
            let next = now + decision.debts().first().copied().unwrap_or(0);
            // A refusal changes nothing (unless the time was impossible), and then does not contend
            // either.
            if next == tat || (tat <= now && next == now) {
                return decision;
            }
            match self.local.compare_exchange_weak(tat, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return decision,
                Err(other) => tat = other,
            }
        }
    }

    fn decide_multi(&self, policy: &RatePolicy, now: u64, cost: u32) -> Decision {
        self.change(|windows| {
            let mut tats = [0; MAX_WINDOWS];
            tats.iter_mut().zip(&*windows).for_each(|(tat, window)| *tat = window.local);
            let decision = law::decide(policy.windows(), &tats, now, cost);
            let debts = windows.iter_mut().zip(decision.debts());
            debts.for_each(|(window, debt)| window.local = now + debt);
            decision
        })
    }

    /// Changes all windows together. With one window, a decision in between is counted on top.
    pub(super) fn change<R>(&self, change: impl Fn(&mut [WindowState]) -> R) -> R {
        let mut multi = self.cold.multi.lock();
        if let Some(windows) = multi.as_deref_mut() {
            let answer = change(windows);
            let local = windows.iter().map(|window| window.local).max().unwrap_or(0);
            self.local.store(local, Ordering::Relaxed);
            return answer;
        }
        loop {
            let before = self.single();
            let mut single = [before];
            let answer = change(&mut single);
            let [after] = single;
            let (from, to) = (before.local, after.local);
            if self.local.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                self.cold.remote.store(after.remote, Ordering::Relaxed);
                self.cold.settled.store(after.settled, Ordering::Relaxed);
                return answer;
            }
        }
    }

    /// Redis was asked at `asked`, and this is what it said was owed at some moment until
    /// `answered`.
    pub(super) fn learn(&self, asked: u64, answered: u64, debts: &[u64]) {
        self.change(|windows| {
            for (window, debt) in windows.iter_mut().zip(debts) {
                window.learn((asked, answered), *debt);
            }
        });
        let took = u32::try_from(answered.saturating_sub(asked)).unwrap_or(u32::MAX);
        self.cold.remote_latency.store(took, Ordering::Relaxed);
    }

    /// By how much what Redis told may be too early.
    pub(super) fn remote_latency(&self) -> u64 {
        self.cold.remote_latency.load(Ordering::Relaxed).into()
    }

    /// The state of the only window.
    fn single(&self) -> WindowState {
        WindowState {
            local: self.local.load(Ordering::Relaxed),
            remote: self.cold.remote.load(Ordering::Relaxed),
            settled: self.cold.settled.load(Ordering::Relaxed),
        }
    }

    /// Every window, as it is now.
    pub(super) fn windows(&self) -> [WindowState; MAX_WINDOWS] {
        if self.cold.policy.windows().len() > 1
            && let Some(windows) = self.cold.multi.lock().as_deref()
        {
            return *windows;
        }
        let mut windows = [WindowState::default(); MAX_WINDOWS];
        windows[0] = self.single();
        windows
    }

    /// Whether one more would be refused on the share of one of `instances`.
    pub(super) fn is_spent(&self, now: u64, instances: u32) -> bool {
        let debts = self.windows().map(|window| window.local.saturating_sub(now));
        let mut each = self.cold.policy.whole().iter().zip(debts);
        each.any(|(window, debt)| window.is_spent(debt, instances))
    }
}

impl Decaying for Entry {
    #[inline]
    fn expires_at(&self) -> u64 {
        self.local.load(Ordering::Relaxed)
    }
}
