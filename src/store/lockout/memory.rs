//! What this instance has seen: the states that hold while Redis is away.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::time::Instant;

use super::{
    law::{Change, Outcome, State},
    policy::LockoutPolicy,
    redis::Answer,
};
use crate::memory::{Full, Id, IdHasher, Keyed, Owing};

/// Times here count from long ago, so that what happened before the start has a time, too.
const LONG_AGO: u64 = 1 << 42;

struct Entry {
    /// In microseconds, as the table counts.
    clear: AtomicU64,
    known: Box<Mutex<Known>>,
}

struct Known {
    subject: String,
    state: State,
    /// Redis has not been told all of it.
    pending: bool,
    /// The newest answer of Redis that is in it.
    as_of: u64,
}

impl Owing for Entry {
    fn clear_at(&self) -> u64 {
        self.clear.load(Ordering::Relaxed)
    }
}

impl Entry {
    fn new(subject: &str) -> Self {
        let known = Known {
            subject: subject.to_owned(),
            state: State::default(),
            pending: false,
            as_of: 0,
        };
        Self { clear: AtomicU64::new(0), known: Box::new(Mutex::new(known)) }
    }

    fn with<R>(&self, policy: &LockoutPolicy, change: impl FnOnce(&mut Known) -> R) -> R {
        let mut known = lock(&self.known);
        let answer = change(&mut known);
        let clear = known.state.expires_at(policy).saturating_mul(1_000);
        self.clear.store(clear, Ordering::Relaxed);
        answer
    }
}

/// A bounded table. What is known of a subject is forgotten when it does not matter any more, and
/// never to make room: at the bound all newcomers share one place, and are locked together.
pub(super) struct LocalStates {
    table: Keyed<Entry>,
    hasher: IdHasher,
    overflow: Mutex<State>,
    policy: LockoutPolicy,
    start: Instant,
}

impl LocalStates {
    pub(super) fn new(policy: LockoutPolicy, bound: usize) -> Self {
        Self {
            table: Keyed::new(bound),
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

    /// Judges without Redis, which is to be told later.
    pub(super) fn apply(&self, subject: &str, change: &Change) -> Outcome {
        let now = self.now();
        let is_new = *change != Change::Read;
        let judge = |entry: &Entry| {
            entry.with(&self.policy, |known| {
                known.pending |= is_new;
                known.state.apply(&self.policy, now, change.clone())
            })
        };
        let kept = self.keep(subject, now, judge);
        kept.unwrap_or_else(|Full| lock(&self.overflow).apply(&self.policy, now, change.clone()))
    }

    /// Takes note of what Redis says: it is the truth, but for what it has not been told.
    pub(super) fn adopt(&self, subject: &str, answer: Answer) -> Outcome {
        let Answer { outcome, state, as_of } = answer;
        let now = self.now();
        let take = |entry: &Entry| {
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
            let _: Result<(), Full> = self.keep(subject, now, take);
        } else {
            self.table.with(self.id(subject), take);
        }
        outcome
    }

    /// What Redis is to be told of this subject.
    pub(super) fn pending_of(&self, subject: &str) -> Option<State> {
        let pending = |entry: &Entry| {
            let known = lock(&entry.known);
            known.pending.then(|| known.state.clone())
        };
        self.table.with(self.id(subject), pending).flatten()
    }

    /// Redis was told this, and answered that.
    pub(super) fn settle(&self, subject: &str, outcome: &State, answer: Answer) {
        let now = self.now();
        self.table.with(self.id(subject), |entry| {
            entry.with(&self.policy, |known| {
                if known.state == *outcome {
                    (known.state, known.as_of, known.pending) = (answer.state, answer.as_of, false);
                } else {
                    known.state.apply(&self.policy, now, Change::Merge(answer.state));
                }
            });
        });
    }

    /// What one part of the table has to tell Redis; of `all` when it has lost what it knew. `None`
    /// after the last part.
    pub(super) fn pending(&self, part: usize, all: bool) -> Option<Vec<(String, State)>> {
        let now = self.now().saturating_mul(1_000);
        self.table.visit(part, |entries| {
            let owing = entries.filter(|entry| entry.clear_at() > now);
            let pending = owing.filter_map(|entry| {
                let known = lock(&entry.known);
                (all || known.pending).then(|| (known.subject.clone(), known.state.clone()))
            });
            pending.collect()
        })
    }

    fn keep<R>(&self, subject: &str, now: u64, change: impl Fn(&Entry) -> R) -> Result<R, Full> {
        let id = self.id(subject);
        if let Some(answer) = self.table.with(id, &change) {
            return Ok(answer);
        }
        let make = || {
            let entry = Entry::new(subject);
            let answer = change(&entry);
            (entry, answer)
        };
        self.table.keep(id, now.saturating_mul(1_000), &change, make, |_| true)
    }

    fn id(&self, subject: &str) -> Id {
        self.hasher.id(0, subject.as_bytes())
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
