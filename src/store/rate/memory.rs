//! The limit in this process: what decides while Redis is away, and the deny cache while it is there.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Mutex;

use super::debt::{self, Charge};
use super::entry::{Entry, Rest, Tats, lock};
use super::law::{self, Decision, MAX_WINDOWS};
use super::policy::Policy;
use super::subject::Subject;
use crate::memory::{Full, Id, IdHasher, Keyed, Owing};

/// Overflow buckets, one for each policy; further policies share the last.
const OVERFLOWS: usize = 64;

/// Rate limit state in memory, for at most so many subjects; shared by reference among all threads.
///
/// One table serves three purposes, because what it holds for a subject is always the same: the instant in
/// each window at which nothing is owed.
///
/// - **Degraded** ([`decide`](Self::decide)): the limit of this instance.
/// - **Deny cache** ([`denied`](Self::denied)): while Redis is there, what it last said of a subject
///   ([`seed`](Self::seed)) is a lower bound of what is owed there, since others can only add to it. If that
///   alone refuses a request, Redis need not be asked.
/// - **Settling up** (`owed`, `settle`): what was admitted here is charged to Redis afterwards.
///
/// Instants are microseconds of any clock that does not go backwards, the same for every call.
///
/// # At the bound
///
/// A new subject takes the place of one that owes nothing, else of the one that owes least. A subject that is
/// being refused is never forgotten: a flood of new keys frees nobody. When all are being refused, the
/// newcomer shares an overflow bucket with all others in its position, and they are limited like one
/// subject: not for free, which would reward the flood, and not refused outright, which would shut out
/// everybody new.
///
/// # Cost
///
/// About 130 bytes for a subject (13 MB for 100 000; with several windows 80 more, with a name over 36
/// bytes that as well), and no background
/// task. Threads that decide on the same subject do not wait for each other.
///
/// # Why not `governor`'s limiter on top
///
/// Its `StateStore` holds one instant for a key, so several windows would be several tables and could not be
/// all or nothing; and the law must be the one that Redis runs, to the microsecond. The algorithm is
/// governor's.
///
/// # Examples
///
/// ```
/// use evenkeel::store::rate::{Policy, Quota, RateMemory, Retry, Subject};
/// use std::time::Duration;
///
/// let memory = RateMemory::new(100_000);
/// let policy = Policy::from(Quota::per_second(2));
/// let alice = Subject::text("alice");
/// assert!(memory.decide(&policy, &alice, 0, 1).allowed());
/// assert!(memory.decide(&policy, &alice, 0, 1).allowed());
/// let refused = memory.decide(&policy, &alice, 0, 1);
/// assert_eq!(refused.retry(), Some(Retry::After(Duration::from_millis(500))));
/// assert!(memory.decide(&policy, &alice, 500_000, 1).allowed());
/// ```
pub struct RateMemory {
    table: Keyed<Entry>,
    hasher: IdHasher,
    overflow: Mutex<Vec<(u64, Entry)>>,
}

/// What one subject owes Redis.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) subject: Subject,
    pub(crate) policy: Policy,
    pub(crate) charge: Charge,
    /// What was unpaid here when this was drawn up, for [`RateMemory::settle`].
    unpaid: [u64; MAX_WINDOWS],
    at: u64,
}

impl Owed {
    /// What is left to be charged at `now`.
    pub(crate) fn charge_at(&self, now: u64) -> Charge {
        self.charge.after(now.saturating_sub(self.at))
    }
}

impl RateMemory {
    /// State for at most `bound` subjects (at least 1).
    pub fn new(bound: usize) -> Self {
        Self { table: Keyed::new(bound), hasher: IdHasher::random(), overflow: Mutex::default() }
    }

    /// Decides on `cost` cells at `now` (microseconds), and keeps what they cost. A cost of 0 asks without
    /// spending.
    #[inline]
    pub fn decide(&self, policy: &Policy, subject: &Subject, now: u64, cost: u32) -> Decision {
        let id = self.id(policy, subject);
        let known = self.table.with(id, |entry| entry.decide(policy, now, cost));
        known.unwrap_or_else(|| self.decide_new(id, policy, subject, now, cost))
    }

    #[cold]
    fn decide_new(
        &self,
        id: Id,
        policy: &Policy,
        subject: &Subject,
        now: u64,
        cost: u32,
    ) -> Decision {
        let fresh = law::decide(policy.windows(), &[], now, cost);
        if !fresh.allowed() || cost == 0 {
            return fresh;
        }
        let look = |entry: &Entry| entry.decide(policy, now, cost);
        let make = || {
            let entry = Entry::new(policy, subject.clone());
            let decision = entry.decide(policy, now, cost);
            (entry, decision)
        };
        let kept =
            self.table.keep(id, now, look, make, |entry| entry.held(now, policy.instances()));
        kept.unwrap_or_else(|Full| self.overflow(policy, now, cost))
    }

    fn overflow(&self, policy: &Policy, now: u64, cost: u32) -> Decision {
        let mut buckets = lock(&self.overflow);
        let space = policy.space();
        let place = buckets.iter().position(|(other, _)| *other == space);
        let place = place.unwrap_or_else(|| {
            if buckets.len() < OVERFLOWS {
                buckets.push((space, Entry::new(policy, Subject::EMPTY)));
            }
            buckets.len() - 1
        });
        match buckets.get(place) {
            Some((_, entry)) => entry.decide(policy, now, cost),
            None => law::decide(policy.windows(), &[], now, cost),
        }
    }

    /// The deny cache: the refusal that Redis would give, or `None` when it has to be asked.
    ///
    /// What is known here of a subject is what Redis last said of it, so this never refuses what Redis would
    /// admit, except after somebody lowered the debt there by hand (`DEL`), and then for one full burst at most
    /// (or until [`forget`](Self::forget)).
    #[inline]
    pub fn denied(
        &self,
        policy: &Policy,
        subject: &Subject,
        now: u64,
        cost: u32,
    ) -> Option<Decision> {
        let look = |entry: &Entry| {
            if let [window] = policy.whole() {
                // What Redis knew is part of what is owed here: mostly this settles it.
                if law::decide_one(window, entry.clear_at(), now, cost).allowed() {
                    return None;
                }
            }
            let known = entry.tats().map(|tats| tats.known);
            let decision = law::decide(policy.whole(), &known, now, cost);
            (!decision.allowed()).then(|| decision.longer(entry.late()))
        };
        self.table.with(self.id(policy, subject), look).flatten()
    }

    /// Takes note of what Redis decided, so that the deny cache knows and an outage starts from there. Answers may
    /// overtake each other; the larger debt is the later one.
    pub fn seed(&self, policy: &Policy, subject: &Subject, now: u64, decision: &Decision) {
        self.learn(policy, subject, (now, now), decision);
    }

    /// [`seed`](Self::seed) with when Redis was asked and when it had answered. Nobody is refused here for longer than
    /// there, and nobody is told to come back earlier than there.
    pub(crate) fn learn(
        &self,
        policy: &Policy,
        subject: &Subject,
        (asked, answered): (u64, u64),
        decision: &Decision,
    ) {
        if decision.debts().iter().all(|debt| *debt == 0) {
            return;
        }
        let (id, now) = (self.id(policy, subject), asked);
        let raise = |entry: &Entry| entry.learn(asked, answered, decision.debts());
        if self.table.with(id, raise).is_none() {
            let make = || {
                let entry = Entry::new(policy, subject.clone());
                raise(&entry);
                (entry, ())
            };
            // A table full of subjects that are being refused does without this one.
            let _: Result<(), Full> =
                self.table.keep(id, now, raise, make, |entry| entry.held(now, policy.instances()));
        }
    }

    /// What the subjects in one part of the table owe Redis, when the limit was divided among `instances`; `None`
    /// after the last part. Parts are numbered from 0 and small, so that a recovery can pace itself and
    /// stops no request for long. With `lost`, Redis may have forgotten what it told us: those who owe only that are
    /// named as well.
    pub(crate) fn owed(
        &self,
        part: usize,
        now: u64,
        instances: NonZeroU32,
        lost: bool,
    ) -> Option<Vec<Owed>> {
        self.table.visit(part, |entries| {
            let owing = entries.filter(|entry| entry.clear_at() > now);
            let owed = owing.filter_map(|entry| {
                let tats = entry.tats();
                let unpaid = tats.map(|tats| tats.unpaid(now));
                let known = tats.map(|tats| tats.known.saturating_sub(now));
                let charge = debt::owed(instances.get(), &unpaid, &known);
                let Rest { subject, policy, .. } = &*entry.rest;
                let due = charge.is_due() || lost && charge.is_known();
                due.then(|| Owed {
                    subject: subject.clone(),
                    policy: policy.clone(),
                    charge,
                    unpaid,
                    at: now,
                })
            });
            owed.collect()
        })
    }

    /// Redis has been charged for what was `owed`, and says what the subject owes there now (`debts`, in
    /// microseconds). From here on the subject is Redis's again; what was admitted here meanwhile stays on top.
    pub(crate) fn settle(&self, owed: &Owed, now: u64, debts: &[u64]) {
        let id = self.id(&owed.policy, &owed.subject);
        self.table.with(id, |entry| {
            entry.change(|tats| {
                for ((tats, debt), charged) in tats.iter_mut().zip(debts).zip(&owed.unpaid) {
                    tats.settle(owed.at, *charged, now, *debt);
                }
            });
        });
    }

    /// Redis has taken back `cells` that it had handed out `age` microseconds before.
    pub(crate) fn given_back(&self, policy: &Policy, subject: &Subject, cells: u32, age: u64) {
        self.table.with(self.id(policy, subject), |entry| {
            entry.change(|tats| {
                for (tats, window) in tats.iter_mut().zip(policy.whole()) {
                    tats.lower((u64::from(cells) * window.emission).saturating_sub(age));
                }
            });
        });
    }

    /// Forgets a subject: an operator's pardon, in this process.
    pub fn forget(&self, policy: &Policy, subject: &Subject) {
        self.table.with(self.id(policy, subject), |entry| {
            entry.change(|tats| tats.fill(Tats::default()))
        });
    }

    /// How many subjects are held.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The most that can be held.
    pub fn bound(&self) -> usize {
        self.table.bound()
    }

    #[inline]
    fn id(&self, policy: &Policy, subject: &Subject) -> Id {
        self.hasher.id(policy.space(), subject.bytes())
    }
}

impl fmt::Debug for RateMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RateMemory");
        debug.field("len", &self.len()).field("bound", &self.bound()).finish()
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
