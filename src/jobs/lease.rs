//! The lease that makes one instance the only runner of a job: its length, its token, and until
//! when its holder may believe in it.

use std::{fmt, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// For how long the runner of a job stays the only one when nothing is heard of it.
///
/// It is renewed at a third of its length for as long as the run lasts, and given back at its end,
/// also when the run panics. The runner stops believing in it a tenth before its end, by its own
/// monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease(Duration);

impl Lease {
    /// 15 seconds.
    pub const DEFAULT: Self = Self(Duration::from_secs(15));

    pub(super) const SHORTEST: Duration = Duration::from_millis(100);
    pub(super) const LONGEST: Duration = Duration::from_secs(3_600);

    /// A lease of this length, from 100 ms to an hour: when a process dies in the middle of a run,
    /// the job is taken over after this time and up to one period more. It should be several times
    /// `op_timeout`, which a renewal may take.
    pub const fn of(length: Duration) -> Self {
        Self(length)
    }

    /// How long it lasts.
    pub const fn length(self) -> Duration {
        self.0
    }

    /// Between renewals.
    pub(super) fn renewal(self) -> Duration {
        self.0 / 3
    }

    /// How long its holder believes in it, from before the command was sent that took or renewed
    /// it: Redis' count begins later, and the tenth is for clocks that do not run alike.
    pub(super) fn belief(self) -> Duration {
        self.0 - self.0 / 10
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A number that is higher with every run of a job: whoever writes for a run shows it, and what is
/// written to refuses a lower one than it has seen.
///
/// See [`Run::fence`](super::Run::fence).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub(super) u64);

impl Fence {
    /// The number; it fits into a signed column of 64 bits.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The lease is no longer this run's: another instance may have begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease of this job is lost: another instance may run it")]
pub struct Lost;

/// A lease that is held, as far as its holder may believe.
#[derive(Debug)]
pub(super) struct Holding {
    until: Mutex<Instant>,
    lost: watch::Sender<bool>,
}

impl Holding {
    /// Taken by a command that was sent at `sent`.
    pub(super) fn new(lease: Lease, sent: Instant) -> Self {
        Self { until: Mutex::new(sent + lease.belief()), lost: watch::Sender::new(false) }
    }

    /// Redis has renewed it, asked by a command that was sent at `sent`.
    pub(super) fn renewed(&self, lease: Lease, sent: Instant) {
        *self.until.lock() = sent + lease.belief();
    }

    /// It is known to be lost.
    pub(super) fn lose(&self) {
        self.lost.send_replace(true);
    }

    pub(super) fn until(&self) -> Instant {
        *self.until.lock()
    }

    /// Once lost it stays lost, though a late answer may say that Redis has renewed it.
    pub(super) fn check(&self) -> Result<(), Lost> {
        if Instant::now() >= self.until() {
            self.lose();
        }
        if *self.lost.borrow() { Err(Lost) } else { Ok(()) }
    }

    /// Returns when it is lost.
    pub(super) async fn lost(&self) {
        let mut lost = self.lost.subscribe();
        while self.check().is_ok() {
            tokio::select! {
                _ = lost.changed() => {}
                () = sleep_until(self.until()) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Lease = Lease::of(Duration::from_secs(10));

    #[tokio::test(start_paused = true)]
    async fn its_holder_stops_believing_a_tenth_before_its_end() {
        let sent = Instant::now();
        // The answer takes two seconds: they count.
        tokio::time::advance(Duration::from_secs(2)).await;
        let held = Holding::new(LEASE, sent);
        held.lost().await;
        assert_eq!(sent.elapsed(), Duration::from_secs(9));
        assert_eq!(held.check(), Err(Lost));
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_comes_too_late_does_not_bring_it_back() {
        let held = Holding::new(LEASE, Instant::now());
        tokio::time::advance(Duration::from_secs(6)).await;
        held.renewed(LEASE, Instant::now());
        tokio::time::advance(Duration::from_millis(8_999)).await;
        assert_eq!(held.check(), Ok(()));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(held.check(), Err(Lost));
        held.renewed(LEASE, Instant::now());
        assert_eq!(held.check(), Err(Lost));
    }
}
