//! The law of the rate limit over one window or several at once: a pure function.
//!
//! Each [`Window`] is GCRA. This file puts windows together and says what comes of it; `gcra.lua`
//! is the same law inside Redis, held to this one by a differential test, and what Redis answers
//! becomes a [`Decision`] through [`Decision::from_redis`]. It knows no clock and no store: `now`
//! is handed in, in microseconds since any origin, as long as it is the origin of the stored times
//! too.
//!
//! A caller keeps the state by storing `now + debt` for each window of the answer, whatever the
//! verdict: that adds what was admitted, and writes back what was clamped.

use std::cmp::Reverse;
use std::time::Duration;

use super::window::{NEVER, Window};

/// The most windows one policy can have: a second's, a minute's, an hour's and a day's, say.
pub const MAX_WINDOWS: usize = 4;

/// When a refused request would be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After this long, and not a microsecond earlier, if nobody spends anything in between.
    After(Duration),
    /// Never: the request costs more than the whole burst of a window.
    Never,
}

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

    /// Adds `cost` cells to every window, or to none: then says how long until they fit.
    fn admit(&mut self, windows: &[Window], cost: u32) -> Result<(), u64> {
        let (mut after, mut wait) = (*self, 0);
        for (debt, window) in after.iter_mut().zip(windows) {
            match window.admit(*debt, cost) {
                Ok(more) => *debt = more,
                Err(longer) => wait = longer.max(wait),
            }
        }
        if wait > 0 {
            return Err(wait);
        }
        *self = after;
        Ok(())
    }
}

/// The law: may `cost` cells pass at `now`, given the stored TATs, one for each window?
///
/// All windows or none: what is refused consumes nothing. A cost of 0 is a peek, always allowed.
pub(crate) fn decide(windows: &[Window], tats: &[u64], now: u64, cost: u32) -> Decision {
    let mut debts = Debts::read(windows, tats, now);
    let wait = debts.admit(windows, cost).err().unwrap_or(0);
    Decision::new(windows, wait, debts)
}

/// [`decide`] for a single window: the same steps on plain numbers, for the hot path.
#[inline]
pub(crate) fn decide_one(window: &Window, tat: u64, now: u64, cost: u32) -> Decision {
    let owed = window.debt(tat, now);
    let (wait, debt) = match window.admit(owed, cost) {
        Ok(debt) => (0, debt),
        Err(wait) => (wait, owed),
    };
    let mut micros = [0; MAX_WINDOWS];
    micros[0] = debt;
    let (free, emission) = (window.tolerance - debt, window.emission);
    Decision { wait, tightest: 0, free, emission, debts: Debts { micros, len: 1 } }
}

/// The answer of the law to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    wait: u64,
    tightest: usize,
    /// Of the tightest window; divided only when asked, since a division is a third of the whole
    /// law.
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

    /// The decision that Redis took: `allowed`, and the debts (microseconds) as the script left
    /// them.
    pub(crate) fn from_redis(windows: &[Window], allowed: bool, debts: &[u64], cost: u32) -> Self {
        let debts = Debts::read(windows, debts, 0);
        // A refusal that the numbers do not explain (another policy's windows) still gets a wait.
        let wait = || debts.clone().admit(windows, cost.max(1)).err().unwrap_or(1);
        let wait = if allowed { 0 } else { wait() };
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
    pub(crate) const fn allowed(&self) -> bool {
        self.wait == 0
    }

    /// `None` when the request is allowed.
    pub(crate) fn retry(&self) -> Option<Retry> {
        Retry::of(self.wait)
    }

    /// Cells left in the tightest window, after this request.
    pub(crate) const fn remaining(&self) -> u32 {
        // At most the burst, which is a u32.
        (self.free / self.emission) as u32
    }

    /// How long until every window is full again, if nothing more is spent.
    pub(crate) fn reset_after(&self) -> Duration {
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
