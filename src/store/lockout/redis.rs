//! The law as Redis carries it out.

use super::{
    law::{Change, Outcome, Slot, State},
    policy::LockoutPolicy,
};
use crate::{
    Error, ErrorKind,
    redis::{Connection, Script},
};

/// Newer than any time of Redis, and exact in Lua.
const NEWEST: u64 = 1 << 52;

pub(super) struct Remote {
    prefix: String,
    apply: Script,
    policy: LockoutPolicy,
}

/// What Redis is told of a subject before it is asked, because it does not know it or may have lost
/// it: raises, never lowers, and nothing that was unlocked or settled since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) state: State,
    /// When Redis knew it, in milliseconds of its clock; `None`: it never did.
    pub(super) as_of: Option<u64>,
}

/// What Redis knows of a subject, with times of the clock that was handed in.
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) state: State,
    /// Redis's own time, in microseconds: tells the newer of two answers.
    pub(super) as_of: u64,
}

impl Remote {
    pub(super) fn new(namespace: &str, name: &str, policy: LockoutPolicy) -> Self {
        let prefix = format!("{namespace}:lockout:{name}");
        Self { prefix, apply: Script::new(include_str!("apply.lua")), policy }
    }

    /// Tells Redis what is known and applies a change, in one round trip. `now` is this instance's
    /// own time.
    pub(super) async fn apply(
        &self,
        connection: &mut Connection,
        subject: &str,
        known: Option<&Known>,
        change: Change,
        now: u64,
    ) -> Result<Answer, Error> {
        let (op, operand) = match change {
            Change::Begin(nonce) => ("begin", nonce),
            Change::Fail(nonce) => ("fail", nonce),
            Change::Succeed(nonce) => ("succeed", nonce),
            Change::Cancel(nonce) => ("cancel", nonce),
            Change::Lock(time) => ("lock", time),
            Change::Unlock => ("unlock", 0),
            Change::Read => ("read", 0),
        };
        let policy = &self.policy;
        let key = format!("{}:{{{subject}}}", self.prefix);
        let mut call = self
            .apply
            .prepare(&[key])
            .arg(op)
            .arg(policy.threshold)
            .arg(policy.window)
            .arg(policy.lock)
            .arg(policy.growth)
            .arg(policy.longest)
            .arg(policy.memory_of_locks)
            .arg(policy.attempt_timeout)
            .arg(operand);
        if let Some(Known { state, as_of }) = known {
            let locked_for = state.locked_until.saturating_sub(now);
            call = call.arg(locked_for).arg(state.consecutive_locks).arg(as_of.unwrap_or(NEWEST));
            for slot in &state.slots {
                let age = now.saturating_sub(slot.at);
                call = call.arg(slot.nonce).arg(age).arg(u8::from(slot.failed));
            }
        }
        let answer: Vec<u64> = call.run(connection).await?;
        self.read(&answer, now).ok_or_else(|| {
            Error::new(ErrorKind::Command, "the answer of the lockout's script cannot be read")
        })
    }

    fn read(&self, answer: &[u64], now: u64) -> Option<Answer> {
        let [code, as_of, locked_for, consecutive_locks, slots @ ..] = answer else { return None };
        let (slots, []) = slots.as_chunks::<3>() else { return None };
        let slots = slots.iter().map(|[nonce, age, failed]| Slot {
            nonce: *nonce,
            at: now.saturating_sub(*age),
            failed: *failed == 1,
        });
        let consecutive_locks = u32::try_from(*consecutive_locks).unwrap_or(u32::MAX);
        // Of a lock that has ended only that it was is of interest.
        let locked = *locked_for > 0 || consecutive_locks > 0;
        let state = State {
            slots: slots.collect(),
            locked_until: if locked { now.saturating_add(*locked_for) } else { 0 },
            consecutive_locks,
        };
        let outcome = state.outcome(&self.policy, now, code & 1 == 1, code & 2 == 2);
        Some(Answer { outcome, state, as_of: *as_of })
    }
}
