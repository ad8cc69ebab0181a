//! The law of lockout: a pure function of what is known of one subject. `apply.lua` is the same law
//! inside Redis, held to this one by a differential test. The script also raises again what Redis
//! has lost and an instance still knows.
//!
//! An attempt takes a slot *before* the password is verified, and there are as many slots as the
//! threshold says. So however many guesses come at once, no more of them are verified; the others
//! are refused until a slot is free or the subject is locked. Instants are milliseconds since any
//! origin, the same for all.

use super::policy::LockoutPolicy;

/// How long to wait when all slots are taken by attempts that are under way.
const BUSY: u64 = 1_000;

/// One attempt: a slot that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Random: by it Redis and memory know the same attempt.
    pub(super) nonce: u64,
    pub(super) at: u64,
    /// It has failed; else it is under way.
    pub(super) failed: bool,
}

/// What is known of one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) slots: Vec<Slot>,
    /// The end of the lock that is, or of the last that was; 0 for none.
    pub(super) locked_until: u64,
    /// Locks in a row.
    pub(super) consecutive_locks: u32,
}

/// What one change asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// An attempt begins, unless it is refused.
    Begin(u64),
    /// It failed.
    Fail(u64),
    /// It succeeded: the counter is cleared, the lock is not.
    Succeed(u64),
    /// It was never made.
    Cancel(u64),
    /// Locks for this long at least.
    Lock(u64),
    /// Lifts the lock, and forgets all.
    Unlock,
    Read,
}

/// The result of a change; times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// `Begin`: it may go on.
    pub(super) admitted: bool,
    /// This change has locked the subject.
    pub(super) newly_locked: bool,
    /// For how long nothing is admitted; 0: something is.
    pub(super) wait: u64,
    /// The reason is a lock, not that all slots are taken.
    pub(super) locked: bool,
    /// Attempts that may still fail before it locks.
    pub(super) left: u32,
    pub(super) consecutive_locks: u32,
}

impl State {
    pub(super) fn apply(&mut self, policy: &LockoutPolicy, now: u64, change: Change) -> Outcome {
        let mut newly_locked = self.advance(policy, now);
        let mut admitted = false;
        match change {
            Change::Begin(nonce) => {
                admitted = self.locked_until <= now && self.slots.len() < policy.threshold as usize;
                if admitted {
                    self.slots.push(Slot { nonce, at: now, failed: false });
                }
            }
            Change::Fail(nonce) => self.add(Slot { nonce, at: now, failed: true }),
            Change::Succeed(nonce) => {
                self.slots.retain(|slot| !slot.failed && slot.nonce != nonce);
            }
            Change::Cancel(nonce) => self.slots.retain(|slot| slot.nonce != nonce),
            Change::Lock(time) => {
                self.locked_until = self.locked_until.max(now.saturating_add(time));
                newly_locked = true;
            }
            Change::Unlock => *self = Self::default(),
            Change::Read => {}
        }
        newly_locked |= self.advance(policy, now);
        self.outcome(policy, now, admitted, newly_locked)
    }

    /// Forgets what has run out, and locks when there are too many: whether it did.
    fn advance(&mut self, policy: &LockoutPolicy, now: u64) -> bool {
        for slot in &mut self.slots {
            // A clock has stepped back: it was a moment ago.
            slot.at = slot.at.min(now);
            slot.failed |= now - slot.at >= policy.attempt_timeout;
        }
        self.slots.retain(|slot| now - slot.at < policy.window);
        if self.consecutive_locks > 0
            && now >= self.locked_until.saturating_add(policy.memory_of_locks)
        {
            self.consecutive_locks = 0;
        }
        let failed = self.slots.iter().filter(|slot| slot.failed).count();
        if failed < policy.threshold as usize {
            return false;
        }
        self.slots.retain(|slot| !slot.failed);
        let newly_locked = self.locked_until <= now;
        if newly_locked {
            self.locked_until = now.saturating_add(policy.lock_time(self.consecutive_locks));
            self.consecutive_locks = self.consecutive_locks.saturating_add(1);
        }
        newly_locked
    }

    /// Takes in what Redis or a journal knows besides: raises, never lowers.
    pub(super) fn merge(&mut self, policy: &LockoutPolicy, now: u64, other: &Self) -> Outcome {
        let mut newly_locked = self.advance(policy, now);
        self.locked_until = self.locked_until.max(other.locked_until);
        self.consecutive_locks = self.consecutive_locks.max(other.consecutive_locks);
        other.slots.iter().for_each(|slot| self.add(*slot));
        newly_locked |= self.advance(policy, now);
        self.outcome(policy, now, false, newly_locked)
    }

    fn add(&mut self, slot: Slot) {
        match self.slots.iter_mut().find(|known| known.nonce == slot.nonce) {
            Some(known) => known.failed |= slot.failed,
            None => self.slots.push(slot),
        }
    }

    pub(super) fn outcome(
        &self,
        policy: &LockoutPolicy,
        now: u64,
        admitted: bool,
        newly_locked: bool,
    ) -> Outcome {
        let locked_for = self.locked_until.saturating_sub(now);
        let taken = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let left = if locked_for > 0 { 0 } else { policy.threshold.saturating_sub(taken) };
        let busy = if left == 0 && !admitted { BUSY } else { 0 };
        let wait = if locked_for > 0 { locked_for } else { busy };
        Outcome {
            admitted,
            newly_locked,
            wait,
            locked: locked_for > 0,
            left,
            consecutive_locks: self.consecutive_locks,
        }
    }

    /// When nothing of this matters any more.
    pub(super) fn expires_at(&self, policy: &LockoutPolicy) -> u64 {
        let slots = self.slots.iter().map(|slot| slot.at.saturating_add(policy.window)).max();
        let remembered = if self.consecutive_locks > 0 { policy.memory_of_locks } else { 0 };
        let lock = match self.locked_until {
            0 => 0,
            until => until.saturating_add(remembered),
        };
        slots.unwrap_or(0).max(lock)
    }
}

#[cfg(test)]
#[path = "law_tests.rs"]
mod tests;
