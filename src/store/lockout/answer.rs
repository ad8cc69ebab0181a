//! What callers are told: may an attempt be made, and how is a subject locked.

use std::{fmt, time::Duration};

use super::law::Outcome;

/// May an attempt be made?
#[derive(Debug)]
pub enum LoginVerdict {
    /// Yes: verify the password, and report the result.
    Admitted(Attempt),
    /// No: it is locked, or all the attempts that may still fail are under way.
    Refused(LockoutStatus),
}

/// An attempt that holds a slot. Report its result: [`Lockout::fail`](super::Lockout::fail),
/// [`succeed`](super::Lockout::succeed) or [`cancel`](super::Lockout::cancel).
#[must_use = "what is not reported counts as failed after a while"]
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

/// Is a subject locked, and for how long?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutStatus(pub(super) Outcome);

impl LockoutStatus {
    /// Locked: no attempt is admitted, whatever the password.
    pub const fn is_locked(&self) -> bool {
        self.0.locked
    }

    /// How long until an attempt can be admitted; zero when one can be now.
    pub const fn retry_after(&self) -> Duration {
        Duration::from_millis(self.0.wait)
    }

    /// How many attempts may still fail before it locks.
    pub const fn attempts_left(&self) -> u32 {
        self.0.left
    }
}
