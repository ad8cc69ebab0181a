//! What is told.

use std::{fmt, time::Duration};

use super::law::Outcome;

/// May an attempt be made?
#[derive(Debug)]
pub enum LoginVerdict {
    /// Yes: judge the password, and tell what came of it.
    Admitted(Attempt),
    /// No: it is locked, or all the attempts that may still fail are being judged just now.
    Refused(LockoutStatus),
}

/// An attempt that has its place. Tell what came of it: [`Lockout::fail`](super::Lockout::fail),
/// [`succeed`](super::Lockout::succeed) or [`cancel`](super::Lockout::cancel).
#[must_use = "what is not judged counts as failed after a while"]
pub struct Attempt {
    pub(super) subject: String,
    pub(super) nonce: u64,
    pub(super) left: u32,
}

impl Attempt {
    /// How many more may fail, should this one.
    pub const fn attempts_left(&self) -> u32 {
        self.left
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("left", &self.left).finish_non_exhaustive()
    }
}

/// How a subject stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutStatus {
    wait: Duration,
    locked: bool,
    left: u32,
}

impl LockoutStatus {
    pub(super) const fn of(outcome: Outcome) -> Self {
        Self {
            wait: Duration::from_millis(outcome.wait),
            locked: outcome.locked,
            left: outcome.left,
        }
    }

    /// Locked: no attempt is admitted, whatever the password.
    pub const fn is_locked(&self) -> bool {
        self.locked
    }

    /// How long until an attempt can be admitted; zero when one can be now.
    pub const fn retry_after(&self) -> Duration {
        self.wait
    }

    /// How many attempts may still fail before it locks.
    pub const fn attempts_left(&self) -> u32 {
        self.left
    }
}
