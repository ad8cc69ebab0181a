//! The law as Redis carries it out.

use super::{
    law::{Change, Mark, State, Told},
    policy::LockoutPolicy,
};
use crate::{
    Error, ErrorKind,
    redis::{Connection, Script},
};

pub(super) struct Remote {
    prefix: String,
    judge: Script,
    policy: LockoutPolicy,
}

/// What Redis knows of a subject, with times of the clock that was handed in.
pub(super) struct Answer {
    pub(super) told: Told,
    pub(super) state: State,
    /// Redis's own time, in microseconds: tells the newer of two answers.
    pub(super) as_of: u64,
}

impl Remote {
    pub(super) fn new(namespace: &str, name: &str, policy: LockoutPolicy) -> Self {
        let prefix = format!("{namespace}:lockout:{name}");
        Self { prefix, judge: Script::new(include_str!("judge.lua")), policy }
    }

    /// Counts and judges, in one round trip. `now` is this instance's own time.
    pub(super) async fn judge(
        &self,
        connection: &mut Connection,
        subject: &str,
        change: &Change,
        now: u64,
    ) -> Result<Answer, Error> {
        let policy = &self.policy;
        let key = format!("{}:{{{subject}}}", self.prefix);
        let mut judge = self
            .judge
            .prepare(&[key])
            .arg(word(change))
            .arg(policy.threshold)
            .arg(policy.window)
            .arg(policy.lock)
            .arg(policy.growth)
            .arg(policy.longest)
            .arg(policy.forget)
            .arg(policy.patience);
        judge = match change {
            Change::Begin(nonce)
            | Change::Fail(nonce)
            | Change::Succeed(nonce)
            | Change::Cancel(nonce) => judge.arg(*nonce),
            Change::Lock(time) => judge.arg(*time),
            Change::Unlock | Change::Look => judge,
            Change::Merge(state) => {
                let locked_for = state.locked_until.saturating_sub(now);
                let merge = judge.arg(locked_for).arg(state.strikes);
                state.marks.iter().fold(merge, |merge, mark| {
                    let age = now.saturating_sub(mark.at);
                    merge.arg(mark.nonce).arg(age).arg(u8::from(mark.failed))
                })
            }
        };
        let answer: Vec<u64> = judge.run(connection).await?;
        self.read(&answer, now).ok_or_else(|| {
            Error::new(ErrorKind::Command, "the answer of the lockout's script cannot be read")
        })
    }

    fn read(&self, answer: &[u64], now: u64) -> Option<Answer> {
        let [code, as_of, locked_for, strikes, marks @ ..] = answer else { return None };
        let (marks, []) = marks.as_chunks::<3>() else { return None };
        let marks = marks.iter().map(|[nonce, age, failed]| Mark {
            nonce: *nonce,
            at: now.saturating_sub(*age),
            failed: *failed == 1,
        });
        let strikes = u32::try_from(*strikes).unwrap_or(u32::MAX);
        // Of a lock that has ended only that it was is of interest.
        let locked = *locked_for > 0 || strikes > 0;
        let state = State {
            marks: marks.collect(),
            locked_until: if locked { now.saturating_add(*locked_for) } else { 0 },
            strikes,
        };
        let told = state.tell(&self.policy, now, code & 1 == 1, code & 2 == 2);
        Some(Answer { told, state, as_of: *as_of })
    }
}

const fn word(change: &Change) -> &'static str {
    match change {
        Change::Begin(_) => "begin",
        Change::Fail(_) => "fail",
        Change::Succeed(_) => "succeed",
        Change::Cancel(_) => "cancel",
        Change::Lock(_) => "lock",
        Change::Unlock => "unlock",
        Change::Look => "look",
        Change::Merge(_) => "merge",
    }
}
