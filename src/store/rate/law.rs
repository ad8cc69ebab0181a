//! The law of the rate limit: GCRA in whole microseconds, a pure function.
//!
//! The Generic Cell Rate Algorithm (ITU-T I.371, in the virtual-scheduling form that `governor` and
//! `redis-cell` use) keeps one number for each subject and window: the *theoretical arrival time* (TAT),
//! the instant at which the subject owes nothing any more. Each admitted cell moves it one emission
//! interval (period ÷ count) further; it may lie at most the tolerance (burst × emission) ahead of now.
//!
//! This file is the only place where the law is written in Rust: memory calls [`decide`], and what
//! Redis answers (`gcra.lua` is the same law, held to this one by a differential test) becomes a
//! [`Decision`] through [`Decision::from_redis`]. It knows no clock and no store: `now` is handed in, in
//! microseconds since any origin, as long as it is the origin of the stored times too.
//!
//! A caller keeps the state by storing `now + debt` for each window of the answer, whatever the verdict:
//! that adds what was admitted, and writes back what was clamped.

use std::cmp::Reverse;
use std::time::Duration;

/// The most windows one policy can have: a second's, a minute's, an hour's and a day's, say.
pub const MAX_WINDOWS: usize = 4;

/// One window in the units of the law. Made by [`Quota`](super::Quota); never zero anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Microseconds that one cell takes to come back; rounded up, so the rate is never above the quota.
    pub(crate) emission: u64,
    /// Cells that a rested subject can spend at once.
    pub(crate) burst: u32,
    /// `burst * emission`: how far ahead of now a TAT can lie, in microseconds.
    pub(crate) tolerance: u64,
}

impl Window {
    pub(crate) const fn new(emission: u64, burst: u32) -> Self {
        let tolerance = emission.saturating_mul(burst as u64);
        Self { emission, burst, tolerance }
    }

    /// What one instance of `share` enforces by itself: cells come back `share` times as slowly, and the
    /// burst is divided, rounded down, at least 1. The tolerance in time stays (nearly) the same, so a TAT
    /// means the same fraction of the budget before and after.
    pub(crate) const fn share(self, share: u32) -> Self {
        let burst = match self.burst / share {
            0 => 1,
            some => some,
        };
        Self::new(self.emission.saturating_mul(share as u64), burst)
    }

    /// What is owed at `now`: what is past counts as nothing, what is impossibly far ahead is clamped.
    #[inline]
    const fn debt(self, tat: u64, now: u64) -> u64 {
        let debt = tat.saturating_sub(now);
        if debt > self.tolerance { self.tolerance } else { debt }
    }

    /// Microseconds until `cost` cells fit: 0 when they do, [`NEVER`] when they never will.
    #[inline]
    const fn wait(self, debt: u64, cost: u32) -> u64 {
        if cost == 0 {
            return 0;
        }
        if cost > self.burst {
            return NEVER;
        }
        (debt + self.price(cost)).saturating_sub(self.tolerance)
    }

    /// What `cost` cells add to a debt; they fit into the burst.
    #[inline]
    const fn price(self, cost: u32) -> u64 {
        cost as u64 * self.emission
    }

    /// Whole cells left at this debt.
    pub(crate) const fn remaining(self, debt: u64) -> u32 {
        // At most `burst`, which is a u32.
        (self.tolerance.saturating_sub(debt) / self.emission) as u32
    }

    /// Microseconds until [`remaining`](Self::remaining) grows by one; 0 when nothing is owed.
    pub(crate) const fn next_after(self, debt: u64) -> u64 {
        if debt == 0 {
            return 0;
        }
        let one_more = self.tolerance - self.remaining(debt) as u64 * self.emission;
        (debt + self.emission).saturating_sub(one_more)
    }
}

/// When a refused request would be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After this long, and not a microsecond earlier, if nobody spends anything in between.
    After(Duration),
    /// Never: the request costs more than the whole burst of a window.
    Never,
}

const NEVER: u64 = u64::MAX;

impl Retry {
    #[inline]
    fn of(wait: u64) -> Option<Self> {
        match wait {
            0 => None,
            NEVER => Some(Self::Never),
            wait => Some(Self::After(Duration::from_micros(wait))),
        }
    }
}

/// What is owed in each window, in microseconds from now. Plain data on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Debts {
    micros: [u64; MAX_WINDOWS],
    len: usize,
}

impl Debts {
    /// Reads stored TATs; a missing one is nothing owed.
    pub(crate) fn read(windows: &[Window], tats: &[u64], now: u64) -> Self {
        let mut debts = Self { micros: [0; MAX_WINDOWS], len: windows.len().min(MAX_WINDOWS) };
        for ((debt, window), tat) in debts.micros.iter_mut().zip(windows).zip(tats) {
            *debt = window.debt(*tat, now);
        }
        debts
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u64] {
        self.micros.get(..self.len).unwrap_or(&self.micros)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        self.micros.iter_mut().take(self.len)
    }

    /// How long until `cost` cells fit into every window.
    fn wait(&self, windows: &[Window], cost: u32) -> u64 {
        let waits =
            self.as_slice().iter().zip(windows).map(|(debt, window)| window.wait(*debt, cost));
        waits.max().unwrap_or(0)
    }

    /// Adds `cells` to every window; the caller knows that they fit.
    pub(crate) fn add(&mut self, windows: &[Window], cells: u32) {
        for (debt, window) in self.iter_mut().zip(windows) {
            *debt += window.price(cells);
        }
    }
}

/// The law: may `cost` cells pass at `now`, given the stored TATs, one for each window?
///
/// All windows or none: what is refused consumes nothing. A cost of 0 is a peek, always allowed.
pub(crate) fn decide(windows: &[Window], tats: &[u64], now: u64, cost: u32) -> Decision {
    let mut debts = Debts::read(windows, tats, now);
    let wait = debts.wait(windows, cost);
    if wait == 0 {
        debts.add(windows, cost);
    }
    Decision::new(windows, wait, debts)
}

/// [`decide`] for a single window: the same steps on plain numbers, for the hot path.
#[inline]
pub(crate) fn decide_one(window: &Window, tat: u64, now: u64, cost: u32) -> Decision {
    let mut debt = window.debt(tat, now);
    let wait = window.wait(debt, cost);
    if wait == 0 {
        debt += window.price(cost);
    }
    let mut micros = [0; MAX_WINDOWS];
    micros[0] = debt;
    let (free, emission) = (window.tolerance - debt, window.emission);
    Decision { wait, tightest: 0, free, emission, debts: Debts { micros, len: 1 } }
}

/// The answer of the law to one request.
///
/// # Examples
///
/// ```
/// use evenkeel::store::rate::{Policy, Quota, RateMemory, Subject};
///
/// let memory = RateMemory::new(1_000);
/// let policy = Policy::from(Quota::per_minute(100));
/// let decision = memory.decide(&policy, &Subject::text("alice"), 0, 1);
/// assert!(decision.allowed());
/// assert_eq!(decision.remaining(), 99);
/// assert_eq!(decision.reset_after().as_millis(), 600);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    wait: u64,
    tightest: usize,
    /// Of the tightest window; divided only when asked, since a division is a third of the whole law.
    free: u64,
    emission: u64,
    debts: Debts,
}

impl Decision {
    fn new(windows: &[Window], wait: u64, debts: Debts) -> Self {
        let (mut tightest, mut free, mut emission, mut least) = (0, 0, 1, None);
        for (index, (debt, window)) in debts.as_slice().iter().zip(windows).enumerate() {
            // The least left; among equals the one that takes longest to come back.
            let rank = (window.remaining(*debt), Reverse(*debt));
            if least.is_none_or(|least| rank < least) {
                (tightest, free, emission, least) =
                    (index, window.tolerance - debt, window.emission, Some(rank));
            }
        }
        Self { wait, tightest, free, emission, debts }
    }

    /// Admitted already; this is what is owed since.
    pub(crate) fn admitted(windows: &[Window], debts: Debts) -> Self {
        Self::new(windows, 0, debts)
    }

    /// The decision that Redis took: `allowed`, and the debts (microseconds) as the script left them.
    pub(crate) fn from_redis(windows: &[Window], allowed: bool, debts: &[u64], cost: u32) -> Self {
        let debts = Debts::read(windows, debts, 0);
        // A refusal that the numbers do not explain (another policy's windows) still gets a wait.
        let wait = if allowed { 0 } else { debts.wait(windows, cost.max(1)).max(1) };
        Self::new(windows, wait, debts)
    }

    /// Refused for this much longer, in microseconds.
    pub(crate) const fn longer(mut self, by: u64) -> Self {
        if self.wait != 0 && self.wait != NEVER {
            self.wait = self.wait.saturating_add(by);
        }
        self
    }

    /// Whether the request may pass.
    pub const fn allowed(&self) -> bool {
        self.wait == 0
    }

    /// `None` when the request is allowed.
    pub fn retry(&self) -> Option<Retry> {
        Retry::of(self.wait)
    }

    /// Cells left in the tightest window, after this request.
    pub const fn remaining(&self) -> u32 {
        // At most the burst, which is a u32.
        (self.free / self.emission) as u32
    }

    /// How long until every window is full again, if nothing more is spent.
    pub fn reset_after(&self) -> Duration {
        Duration::from_micros(self.debts().iter().copied().max().unwrap_or(0))
    }

    /// Which window of the policy has the least left.
    pub(crate) const fn tightest(&self) -> usize {
        self.tightest
    }

    /// What is owed in each window after this decision, in microseconds.
    pub(crate) fn debts(&self) -> &[u64] {
        self.debts.as_slice()
    }
}

#[cfg(test)]
#[path = "law_tests.rs"]
mod tests;
