//! What this instance has seen of each subject: what is gone on with while Redis is away.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    law::{Change, Outcome, State},
    policy::LockoutPolicy,
    redis::{Answer, Known},
};
use crate::{
    memory::{BoundedMap, Decaying, Full, Id, IdHasher},
    units::millis,
};

/// Times here count from long ago, so that what happened before the start has a time, too.
const LONG_AGO: u64 = 1 << 42;

struct Entry {
    /// When it may be forgotten: in microseconds, as the table counts.
    expires_at: AtomicU64,
    local: Box<Mutex<Local>>,
}

struct Local {
    subject: String,
    state: State,
    /// Redis has not been told all of it.
    pending: bool,
    /// Redis's time (microseconds) at the newest of its answers that is in it; what was changed
    /// here since is newer than any.
    as_of: u64,
}

const NEWER_THAN_REDIS: u64 = u64::MAX;

impl Local {
    /// A change that Redis is to be told.
    fn change<R>(&mut self, change: impl FnOnce(&mut State) -> R) -> R {
        (self.pending, self.as_of) = (true, NEWER_THAN_REDIS);
        change(&mut self.state)
    }

    fn known(&self) -> Known {
        let as_of = Some(self.as_of).filter(|as_of| *as_of != NEWER_THAN_REDIS);
        Known { state: self.state.clone(), as_of: as_of.map(|as_of| as_of / 1_000) }
    }
}

/// Where a subject's attempts are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// In a state of its own.
    Kept,
    /// With others, because the table is full; `is_news`: the log has not said so lately.
    Shared { is_news: bool },
}

impl Decaying for Entry {
    fn expires_at(&self) -> u64 {
        self.expires_at.load(Ordering::Relaxed)
    }
}

impl Entry {
    fn new(subject: &str) -> Self {
        let state = State::default();
        let known = Local { subject: subject.to_owned(), state, pending: false, as_of: 0 };
        Self { expires_at: AtomicU64::new(0), local: Box::new(Mutex::new(known)) }
    }

    fn with<R>(&self, policy: &LockoutPolicy, change: impl FnOnce(&mut Local) -> R) -> R {
        let mut known = self.local.lock();
        let answer = change(&mut known);
        let expires_at = known.state.expires_at(policy).saturating_mul(1_000);
        self.expires_at.store(expires_at, Ordering::Relaxed);
        answer
    }
}

/// States that newcomers share when the table is full.
const OVERFLOW: usize = 1 << 16;
/// In milliseconds.
const LOG_INTERVAL: u64 = 60_000;

/// A bounded table. What is known of a subject is forgotten when it does not matter any more, and
/// never to make room: at the bound newcomers share 65 536 states, each with those that a keyed
/// hash puts there. Whoever locks one of them by made-up names locks out one newcomer of 65 536,
/// and cannot know whom.
pub(super) struct LocalStates {
    table: BoundedMap<Entry>,
    hasher: IdHasher,
    /// Made when the table is first full.
    overflow: OnceLock<Box<[Mutex<State>]>>,
    /// When the log last said so, in milliseconds.
    overflow_logged: AtomicU64,
    policy: LockoutPolicy,
    start: Instant,
}

impl LocalStates {
    pub(super) fn new(policy: LockoutPolicy, capacity: usize) -> Self {
        Self {
            table: BoundedMap::new(capacity),
            hasher: IdHasher::random(),
            overflow: OnceLock::new(),
            overflow_logged: AtomicU64::new(0),
            policy,
            start: Instant::now(),
        }
    }

    /// Milliseconds.
    pub(super) fn now(&self) -> u64 {
        let passed = millis(self.start.elapsed());
        LONG_AGO.saturating_add(passed)
    }

    /// Applies a change without Redis, which is to be told later.
    pub(super) fn apply(&self, subject: &str, change: Change) -> (Outcome, Room) {
        let now = self.now();
        let apply = |state: &mut State| state.apply(&self.policy, now, change);
        match change {
            // It is where it began, if it did.
            Change::Succeed(_) | Change::Cancel(_) | Change::Unlock | Change::Read => {
                let own = |entry: &Entry| {
                    entry.with(&self.policy, |known| match change {
                        Change::Read => apply(&mut known.state),
                        _ => known.change(apply),
                    })
                };
                let shared = || Some(apply(&mut self.cell(self.overflow.get()?, subject).lock()));
                let outcome = self.table.with(self.id(subject), own).or_else(shared);
                (outcome.unwrap_or_else(|| apply(&mut State::default())), Room::Kept)
            }
            _ => self.keep_or_share(subject, now, apply),
        }
    }

    /// Takes in what a journal says, which Redis is to be told later.
    pub(super) fn restore(&self, subject: &str, state: &State) {
        let now = self.now();
        self.keep_or_share(subject, now, |known| known.merge(&self.policy, now, state));
    }

    fn keep_or_share(
        &self,
        subject: &str,
        now: u64,
        change: impl Fn(&mut State) -> Outcome,
    ) -> (Outcome, Room) {
        let own = |entry: &Entry| entry.with(&self.policy, |known| known.change(&change));
        match self.keep(subject, now, own) {
            Ok(outcome) => (outcome, Room::Kept),
            Err(Full) => {
                let empty = || (0..OVERFLOW).map(|_| Mutex::default()).collect();
                let cells = self.overflow.get_or_init(empty);
                (change(&mut self.cell(cells, subject).lock()), self.overflowed(now))
            }
        }
    }

    /// The state that a newcomer shares.
    fn cell<'a>(&self, cells: &'a [Mutex<State>], subject: &str) -> &'a Mutex<State> {
        &cells[self.id(subject).low() as usize % OVERFLOW]
    }

    /// The log is told once a minute.
    fn overflowed(&self, now: u64) -> Room {
        let last = self.overflow_logged.load(Ordering::Relaxed);
        let is_due = last == 0 || now.saturating_sub(last) >= LOG_INTERVAL;
        let wins = || {
            let swap = self.overflow_logged.compare_exchange(
                last,
                now,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            swap.is_ok()
        };
        Room::Shared { is_news: is_due && wins() }
    }

    /// Takes over what Redis says: it is the truth, but for what it has not been told. With the
    /// question it was told `told`.
    pub(super) fn adopt(&self, subject: &str, told: Option<&Known>, answer: Answer) -> Outcome {
        let Answer { outcome, state, as_of } = answer;
        let now = self.now();
        let adopt = |entry: &Entry| {
            entry.with(&self.policy, |known| {
                if known.pending && told.is_some_and(|told| told.state == known.state) {
                    (known.pending, known.as_of) = (false, 0);
                }
                if known.pending || as_of < known.as_of {
                    known.state.merge(&self.policy, now, &state);
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

    /// What Redis is to be told of this subject before it is asked: what it missed; and a lock or
    /// failed attempts, of which it may have dropped what it knew to make room.
    pub(super) fn due_of(&self, subject: &str) -> Option<Known> {
        let now = self.now();
        let due = |entry: &Entry| {
            let local = entry.local.lock();
            if local.pending {
                return Some(local.known());
            }
            let (locked_until, slots) = (local.state.locked_until, &local.state.slots);
            if locked_until <= now && !slots.iter().any(|slot| slot.failed) {
                return None;
            }
            let mut known = local.known();
            // Another instance may have taken back one that is under way.
            known.state.slots.retain(|slot| slot.failed);
            Some(known)
        };
        self.table.with(self.id(subject), due).flatten()
    }

    /// What one part of the table has to tell Redis; `None` after the last part.
    pub(super) fn pending(&self, part: usize) -> Option<Vec<(String, Known)>> {
        self.visit(part, |known| known.pending.then(|| (known.subject.clone(), known.known())))
    }

    /// Redis has lost what it knew: all of it is to be told again.
    pub(super) fn mark_pending(&self) {
        let mark = |known: &mut Local| {
            known.pending = true;
            None::<()>
        };
        let mut parts = 0..;
        while parts.next().and_then(|part| self.visit(part, mark)).is_some() {}
    }

    /// Goes through what still counts in one part of the table; `None` after the last part.
    fn visit<R>(&self, part: usize, visit: impl Fn(&mut Local) -> Option<R>) -> Option<Vec<R>> {
        let now = self.now().saturating_mul(1_000);
        self.table.visit(part, |entries| {
            let counting = entries.filter(|entry| entry.expires_at() > now);
            counting.filter_map(|entry| visit(&mut entry.local.lock())).collect()
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
