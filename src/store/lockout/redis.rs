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

    /// Applies a change in one round trip. `now` is this instance's own time.
    pub(super) async fn apply(
        &self,
        connection: &mut Connection,
        subject: &str,
        change: &Change,
        now: u64,
    ) -> Result<Answer, Error> {
        let policy = &self.policy;
        let key = format!("{}:{{{subject}}}", self.prefix);
        let mut call = self
            .apply
            .prepare(&[key])
            .arg(name(change))
            .arg(policy.threshold)
            .arg(policy.window)
            .arg(policy.lock)
            .arg(policy.growth)
            .arg(policy.longest)
            .arg(policy.memory_of_locks)
            .arg(policy.attempt_timeout);
        call = match change {
            Change::Begin(nonce)
            | Change::Fail(nonce)
            | Change::Succeed(nonce)
            | Change::Cancel(nonce) => call.arg(*nonce),
            Change::Lock(time) => call.arg(*time),
            Change::Unlock | Change::Read => call,
            Change::Merge(state) | Change::Recall(state, _) => {
                let locked_for = state.locked_until.saturating_sub(now);
                let as_of = match change {
                    Change::Recall(_, as_of) => *as_of,
                    _ => NEWEST,
                };
                let merge = call.arg(locked_for).arg(state.consecutive_locks).arg(as_of);
                state.slots.iter().fold(merge, |merge, slot| {
                    let age = now.saturating_sub(slot.at);
                    merge.arg(slot.nonce).arg(age).arg(u8::from(slot.failed))
                })
            }
        };
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
            ..State::default()
        };
        let outcome = state.outcome(&self.policy, now, code & 1 == 1, code & 2 == 2);
        Some(Answer { outcome, state, as_of: *as_of })
    }
}

const fn name(change: &Change) -> &'static str {
    match change {
        Change::Begin(_) => "begin",
        Change::Fail(_) => "fail",
        Change::Succeed(_) => "succeed",
        Change::Cancel(_) => "cancel",
        Change::Lock(_) => "lock",
        Change::Unlock => "unlock",
        Change::Read => "read",
        Change::Merge(_) | Change::Recall(..) => "merge",
    }
}
