//! What this instance has seen of each subject: what is gone on with while Redis is away.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    law::{Change, Outcome, State},
    policy::LockoutPolicy,
    redis::Answer,
};
use crate::memory::{BoundedMap, Decaying, Full, Id, IdHasher};

/// Times here count from long ago, so that what happened before the start has a time, too.
const LONG_AGO: u64 = 1 << 42;

struct Entry {
    /// When it may be forgotten: in microseconds, as the table counts.
    expires_at: AtomicU64,
    known: Box<Mutex<Known>>,
}

struct Known {
    subject: String,
    state: State,
    /// Redis has not been told all of it.
    pending: bool,
    /// Redis's time at the newest of its answers that is in it.
    as_of: u64,
}

impl Decaying for Entry {
    fn expires_at(&self) -> u64 {
        self.expires_at.load(Ordering::Relaxed)
    }
}

impl Entry {
    fn new(subject: &str) -> Self {
        let state = State::default();
        let known = Known { subject: subject.to_owned(), state, pending: false, as_of: 0 };
        Self { expires_at: AtomicU64::new(0), known: Box::new(Mutex::new(known)) }
    }

    fn with<R>(&self, policy: &LockoutPolicy, change: impl FnOnce(&mut Known) -> R) -> R {
        let mut known = self.known.lock();
        let answer = change(&mut known);
        let expires_at = known.state.expires_at(policy).saturating_mul(1_000);
        self.expires_at.store(expires_at, Ordering::Relaxed);
        answer
    }
}

/// A bounded table. What is known of a subject is forgotten when it does not matter any more, and
/// never to make room: at the bound all newcomers share one state, and are locked together.
pub(super) struct LocalStates {
    table: BoundedMap<Entry>,
    hasher: IdHasher,
    overflow: Mutex<State>,
    policy: LockoutPolicy,
    start: Instant,
}

impl LocalStates {
    pub(super) fn new(policy: LockoutPolicy, capacity: usize) -> Self {
        Self {
            table: BoundedMap::new(capacity),
            hasher: IdHasher::random(),
            overflow: Mutex::default(),
            policy,
            start: Instant::now(),
        }
    }

    /// Milliseconds.
    pub(super) fn now(&self) -> u64 {
        let passed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        LONG_AGO.saturating_add(passed)
    }

    /// Applies a change without Redis, which is to be told later.
    pub(super) fn apply(&self, subject: &str, change: &Change) -> Outcome {
        let now = self.now();
        let apply = |entry: &Entry| {
            entry.with(&self.policy, |known| {
                known.pending |= *change != Change::Read;
                known.state.apply(&self.policy, now, change.clone())
            })
        };
        let kept = self.keep(subject, now, apply);
        kept.unwrap_or_else(|Full| self.overflow.lock().apply(&self.policy, now, change.clone()))
    }

    /// Takes over what Redis says: it is the truth, but for what it has not been told.
    pub(super) fn adopt(&self, subject: &str, answer: Answer) -> Outcome {
        let Answer { outcome, state, as_of } = answer;
        let now = self.now();
        let adopt = |entry: &Entry| {
            entry.with(&self.policy, |known| {
                if known.pending || as_of < known.as_of {
                    known.state.apply(&self.policy, now, Change::Merge(state.clone()));
                } else {
                    (known.state, known.as_of) = (state.clone(), as_of);
                }
            });
        };
        if state.locked_until > 0 || state.slots.iter().any(|slot| slot.failed) {
            // A full table does without: Redis knows.
            let _: Result<(), Full> = self.keep(subject, now, adopt);
        } else {
            self.table.with(self.id(subject), adopt);
        }
        outcome
    }

    /// What Redis is to be told of this subject.
    pub(super) fn pending_of(&self, subject: &str) -> Option<State> {
        let pending = |entry: &Entry| {
            let known = entry.known.lock();
            known.pending.then(|| known.state.clone())
        };
        self.table.with(self.id(subject), pending).flatten()
    }

    /// Redis was told this state, and answered that.
    pub(super) fn confirm(&self, subject: &str, pushed: &State, answer: Answer) {
        let now = self.now();
        self.table.with(self.id(subject), |entry| {
            entry.with(&self.policy, |known| {
                if known.state == *pushed {
                    (known.state, known.as_of, known.pending) = (answer.state, answer.as_of, false);
                } else {
                    known.state.apply(&self.policy, now, Change::Merge(answer.state));
                }
            });
        });
    }

    /// What one part of the table has to tell Redis; `None` after the last part.
    pub(super) fn pending(&self, part: usize) -> Option<Vec<(String, State)>> {
        self.visit(part, |known| {
            known.pending.then(|| (known.subject.clone(), known.state.clone()))
        })
    }

    /// Redis has lost what it knew: all of it is to be told again.
    pub(super) fn mark_pending(&self) {
        let mark = |known: &mut Known| {
            known.pending = true;
            None::<()>
        };
        let mut parts = 0..;
        while parts.next().and_then(|part| self.visit(part, mark)).is_some() {}
    }

    /// Goes through what still counts in one part of the table; `None` after the last part.
    fn visit<R>(&self, part: usize, visit: impl Fn(&mut Known) -> Option<R>) -> Option<Vec<R>> {
        let now = self.now().saturating_mul(1_000);
        self.table.visit(part, |entries| {
            let counting = entries.filter(|entry| entry.expires_at() > now);
            counting.filter_map(|entry| visit(&mut entry.known.lock())).collect()
        })
    }

    fn keep<R>(&self, subject: &str, now: u64, change: impl Fn(&Entry) -> R) -> Result<R, Full> {
        let id = self.id(subject);
        if let Some(answer) = self.table.with(id, &change) {
            return Ok(answer);
        }
        let make = || Entry::new(subject);
        self.table.get_or_insert(id, now.saturating_mul(1_000), make, &change, |_| true)
    }

    fn id(&self, subject: &str) -> Id {
        self.hasher.id(0, subject.as_bytes())
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}
