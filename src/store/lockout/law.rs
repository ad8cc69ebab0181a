//! The law of lockout: a pure function of what is known of one subject. `judge.lua` is the same law inside Redis, held to this one
//! by a differential test.
//!
//! An attempt takes a place *before* the password is judged. So however many guesses come at once, no more of
//! them are judged than the threshold has places; the others are refused until a place is free or the lock falls.
//! Instants are milliseconds since any origin, the same for all.

use super::policy::LockoutPolicy;

/// How long to wait when all places are taken by attempts that are being judged.
const BUSY: u64 = 1_000;

/// One attempt: a place that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Random; by it Redis and memory know that they speak of the same attempt.
    pub(super) nonce: u64,
    pub(super) at: u64,
    /// Judged, and wrong; else being judged.
    pub(super) failed: bool,
}

/// What is known of one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) marks: Vec<Mark>,
    /// The end of the lock that is, or of the last that was; 0 for none.
    pub(super) locked_until: u64,
    /// Locks in a row.
    pub(super) strikes: u32,
}

/// What one change asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    Look,
    /// What another place knows: raises, never lowers.
    Merge(State),
}

/// What is told afterwards, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// `Begin`: it may go on.
    pub(super) admitted: bool,
    /// A lock has fallen with this.
    pub(super) fell: bool,
    /// For how long nothing is admitted; 0: something is.
    pub(super) wait: u64,
    /// That is a lock, and not only a crowd.
    pub(super) locked: bool,
    /// Attempts that may still fail before it locks.
    pub(super) left: u32,
    pub(super) strikes: u32,
}

impl State {
    pub(super) fn change(&mut self, policy: &LockoutPolicy, now: u64, change: Change) -> Told {
        let mut fell = self.settle(policy, now);
        let mut admitted = false;
        match change {
            Change::Begin(nonce) => {
                admitted = self.locked_until <= now && self.marks.len() < policy.threshold as usize;
                if admitted {
                    self.marks.push(Mark { nonce, at: now, failed: false });
                }
            }
            Change::Fail(nonce) => self.add(Mark { nonce, at: now, failed: true }),
            Change::Succeed(nonce) => {
                self.marks.retain(|mark| !mark.failed && mark.nonce != nonce);
            }
            Change::Cancel(nonce) => self.marks.retain(|mark| mark.nonce != nonce),
            Change::Lock(time) => {
                self.locked_until = self.locked_until.max(now.saturating_add(time));
                fell = true;
            }
            Change::Unlock => *self = Self::default(),
            Change::Look => {}
            Change::Merge(other) => {
                self.locked_until = self.locked_until.max(other.locked_until);
                self.strikes = self.strikes.max(other.strikes);
                other.marks.into_iter().for_each(|mark| self.add(mark));
            }
        }
        fell |= self.settle(policy, now);
        self.tell(policy, now, admitted, fell)
    }

    /// Forgets what has run out, and locks when there are too many: whether it did.
    fn settle(&mut self, policy: &LockoutPolicy, now: u64) -> bool {
        for mark in &mut self.marks {
            // A clock has stepped back: it was a moment ago.
            mark.at = mark.at.min(now);
            mark.failed |= now - mark.at >= policy.patience;
        }
        self.marks.retain(|mark| now - mark.at < policy.window);
        if self.strikes > 0 && now >= self.locked_until.saturating_add(policy.forget) {
            self.strikes = 0;
        }
        let failed = self.marks.iter().filter(|mark| mark.failed).count();
        if failed < policy.threshold as usize {
            return false;
        }
        self.marks.retain(|mark| !mark.failed);
        let falls = self.locked_until <= now;
        if falls {
            self.locked_until = now.saturating_add(policy.lock_time(self.strikes));
            self.strikes = self.strikes.saturating_add(1);
        }
        falls
    }

    fn add(&mut self, mark: Mark) {
        match self.marks.iter_mut().find(|known| known.nonce == mark.nonce) {
            Some(known) => known.failed |= mark.failed,
            None => self.marks.push(mark),
        }
    }

    pub(super) fn tell(
        &self,
        policy: &LockoutPolicy,
        now: u64,
        admitted: bool,
        fell: bool,
    ) -> Told {
        let locked_for = self.locked_until.saturating_sub(now);
        let taken = u32::try_from(self.marks.len()).unwrap_or(u32::MAX);
        let left = if locked_for > 0 { 0 } else { policy.threshold.saturating_sub(taken) };
        let busy = if left == 0 && !admitted { BUSY } else { 0 };
        let wait = if locked_for > 0 { locked_for } else { busy };
        Told { admitted, fell, wait, locked: locked_for > 0, left, strikes: self.strikes }
    }

    /// When nothing of this matters any more.
    pub(super) fn clear_at(&self, policy: &LockoutPolicy) -> u64 {
        let marks = self.marks.iter().map(|mark| mark.at.saturating_add(policy.window)).max();
        let remembered = if self.strikes > 0 { policy.forget } else { 0 };
        let lock = match self.locked_until {
            0 => 0,
            until => until.saturating_add(remembered),
        };
        marks.unwrap_or(0).max(lock)
    }
}

#[cfg(test)]
#[path = "law_tests.rs"]
mod tests;
