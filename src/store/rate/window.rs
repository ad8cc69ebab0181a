//! One window of the law: `governor`'s GCRA as a pure function of what is owed.
//!
//! The Generic Cell Rate Algorithm (ITU-T I.371, in the virtual-scheduling form) keeps one number
//! for each subject and window: the *theoretical arrival time* (TAT), the instant at which the
//! subject owes nothing any more. Each admitted cell moves it one emission interval (period ÷
//! count) further; it may lie at most the tolerance (burst × emission) ahead of now.
//!
//! `governor` is asked with a clock that stands at 0. So an instant is a debt, its state store is a
//! number on the stack, and a check changes nothing until the caller keeps the new debt: by
//! compare-exchange, or in several windows at once, or not at all. Its nanoseconds are our
//! microseconds, the unit of `gcra.lua`. What governor does not do is done here in front of it: a
//! cost of 0, a cost above the burst (governor multiplies unchecked), a stored time that lies
//! impossibly far ahead, and what remains after a refusal.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;

/// The wait for what will never fit.
pub(super) const NEVER: u64 = u64::MAX;

/// One window in the units of the law. Made by [`Quota`](super::Quota); never zero anywhere.
#[derive(Debug)]
pub(crate) struct Window {
    /// Microseconds that one cell takes to come back; rounded up, so the rate is never above the
    /// quota.
    pub(crate) emission: u64,
    /// Cells that a rested subject can spend at once.
    pub(crate) burst: u32,
    /// `burst * emission`: how far ahead of now a TAT can lie, in microseconds.
    pub(crate) tolerance: u64,
    gcra: governor::RateLimiter<Debt, InKey, Standstill, NoOpMiddleware<Nanos>>,
}

impl Window {
    pub(crate) fn new(emission: u64, burst: u32) -> Self {
        let tolerance = emission.saturating_mul(burst.into());
        // Only `with_period` takes the emission as it is; governor's `per_second` and the like
        // round.
        let quota = governor::Quota::with_period(Duration::from_nanos(emission));
        let quota = quota.unwrap_or(governor::Quota::per_second(NonZeroU32::MIN));
        let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
        let gcra = governor::RateLimiter::new(quota, InKey, Standstill);
        Self { emission, burst, tolerance, gcra }
    }

    /// What one instance of `share` enforces by itself: cells come back `share` times as slowly,
    /// and the burst is divided, rounded down, at least 1. The tolerance in time stays (nearly) the
    /// same, so a TAT means the same fraction of the budget before and after.
    pub(crate) fn share(&self, share: u32) -> Self {
        let (emission, burst) = self.divided(share);
        Self::new(emission, burst)
    }

    fn divided(&self, share: u32) -> (u64, u32) {
        (self.emission.saturating_mul(share.into()), (self.burst / share).max(1))
    }

    /// Whether one more cell would be refused on the share of one of so many.
    pub(super) fn is_spent(&self, debt: u64, share: u32) -> bool {
        let (emission, burst) = self.divided(share);
        debt + emission > emission.saturating_mul(burst.into())
    }

    /// What is owed at `now`: what is past counts as nothing, what is impossibly far ahead is
    /// clamped.
    #[inline]
    pub(super) fn debt(&self, tat: u64, now: u64) -> u64 {
        tat.saturating_sub(now).min(self.tolerance)
    }

    /// What is owed after `cost` more cells.
    ///
    /// # Errors
    ///
    /// Microseconds until they fit, or [`NEVER`].
    #[inline]
    pub(super) fn admit(&self, debt: u64, cost: u32) -> Result<u64, u64> {
        let Some(cells) = NonZeroU32::new(cost) else { return Ok(debt) };
        if cost > self.burst {
            return Err(NEVER);
        }
        let debt = Debt(Cell::new(debt));
        match self.gcra.check_key_n(&debt, cells) {
            Ok(Ok(())) => Ok(debt.0.get()),
            Ok(Err(refused)) => Err(refused.earliest_possible().as_u64()),
            Err(_above_the_burst) => Err(NEVER),
        }
    }

    /// What `cells` add to a debt; they fit into the burst.
    #[inline]
    pub(super) fn price(&self, cells: u32) -> u64 {
        u64::from(cells) * self.emission
    }

    /// Whole cells left at this debt.
    pub(crate) fn remaining(&self, debt: u64) -> u32 {
        // At most `burst`, which is a u32.
        (self.tolerance.saturating_sub(debt) / self.emission) as u32
    }

    /// Microseconds until [`remaining`](Self::remaining) grows by one; 0 when nothing is owed.
    pub(crate) fn next_after(&self, debt: u64) -> u64 {
        if debt == 0 {
            return 0;
        }
        let one_more = self.tolerance - self.price(self.remaining(debt));
        (debt + self.emission).saturating_sub(one_more)
    }
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        (self.emission, self.burst) == (other.emission, other.burst)
    }
}

/// Governor's key is where the state is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Debt(Cell<u64>);

/// Governor asks for it of every key; nothing here hashes one.
impl Hash for Debt {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.get().hash(state);
    }
}

#[derive(Debug)]
struct InKey;

impl StateStore for InKey {
    type Key = Debt;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, Debt(debt): &Debt, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (admitted, next) = f(Some(Nanos::new(debt.get())))?;
        debt.set(next.as_u64());
        Ok(admitted)
    }
}

/// A clock on which now is always 0.
#[derive(Debug)]
struct Standstill;

impl Clock for Standstill {
    type Instant = Nanos;

    #[inline]
    fn now(&self) -> Nanos {
        Nanos::new(0)
    }
}
