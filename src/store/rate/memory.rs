//! The limit in this process: what decides while Redis is away, and the deny cache while it is
//! there.

use std::num::NonZeroU32;

use parking_lot::Mutex;

use super::bucket::Bucket;
use super::debt::{self, Charge};
use super::entry::{Cold, Entry, WindowState};
use super::law::{self, Decision, MAX_WINDOWS};
use super::policy::RatePolicy;
use super::subject::Subject;
use crate::memory::{BoundedMap, Decaying, Full, Id, IdHasher};

/// Overflow buckets, one for each policy; further policies share the last.
const OVERFLOWS: usize = 64;

/// Rate limit state in memory, for at most so many subjects; shared by reference among all threads.
///
/// One table serves three purposes, because what it holds for a subject is always the same: the
/// instant in each window at which nothing is owed.
///
/// - **Degraded** ([`decide`](Self::decide)): the limit of this instance.
/// - **Deny cache** ([`denied`](Self::denied)): while Redis is there, what it last said of a
///   subject ([`learn`](Self::learn)) is a lower bound of what is owed there, since others can only
///   add to it. If that alone refuses a request, Redis need not be asked.
/// - **Settling up** ([`owed`](Self::owed), [`settle`](Self::settle)): what was admitted here is
///   charged to Redis afterwards.
///
/// Instants are microseconds of any clock that does not go backwards, the same for every call.
///
/// # At the bound
///
/// A new subject takes the place of one that owes nothing, else of the one that owes least. A
/// subject that is being refused is never forgotten: a flood of new keys frees nobody. When all are
/// being refused, the new one shares an overflow bucket with all others in its position, and they
/// are limited like one subject: not for free, which would reward the flood, and not refused
/// outright, which would shut out everybody new.
///
/// # Cost
///
/// About 130 bytes for a subject (13 MB for 100 000; with several windows 80 more, with a name over
/// 36 bytes that as well), and no background task. Threads that decide on the same subject do not
/// wait for each other.
pub(super) struct MemoryLimit {
    table: BoundedMap<Entry>,
    hasher: IdHasher,
    overflow: Mutex<Vec<(u64, Entry)>>,
}

/// What one subject owes Redis.
#[derive(Debug)]
pub(super) struct Owed {
    policy: RatePolicy,
    subject: Subject,
    charge: Charge,
    /// What was unsettled here when this was drawn up, for [`MemoryLimit::settle`].
    unsettled: [u64; MAX_WINDOWS],
    at: u64,
}

impl Owed {
    pub(super) fn bucket(&self) -> Bucket<'_> {
        Bucket { policy: &self.policy, subject: &self.subject }
    }

    /// What is left to be charged at `now`.
    pub(super) fn charge_at(&self, now: u64) -> Charge {
        self.charge.after(now.saturating_sub(self.at))
    }
}

impl MemoryLimit {
    /// State for at most `capacity` subjects (at least 1).
    pub(super) fn new(capacity: usize) -> Self {
        let (table, hasher) = (BoundedMap::new(capacity), IdHasher::random());
        Self { table, hasher, overflow: Mutex::default() }
    }

    /// Decides on `cost` cells at `now`, and keeps what they cost. A cost of 0 asks without
    /// spending.
    #[inline]
    pub(super) fn decide(&self, bucket: Bucket<'_>, now: u64, cost: u32) -> Decision {
        let known =
            self.table.with(self.id(bucket), |entry| entry.decide(bucket.policy, now, cost));
        known.unwrap_or_else(|| self.decide_new(bucket, now, cost))
    }

    #[cold]
    fn decide_new(&self, bucket: Bucket<'_>, now: u64, cost: u32) -> Decision {
        let policy = bucket.policy;
        let fresh = law::decide(policy.windows(), &[], now, cost);
        if !fresh.allowed() || cost == 0 {
            return fresh;
        }
        let kept = self.insert(bucket, now, |entry| entry.decide(policy, now, cost));
        kept.unwrap_or_else(|Full| self.overflow(policy, now, cost))
    }

    /// Changes what is held of a subject, unless the table is full of others that are being
    /// refused.
    fn insert<R>(
        &self,
        bucket: Bucket<'_>,
        now: u64,
        change: impl Fn(&Entry) -> R,
    ) -> Result<R, Full> {
        let make = || Entry::new(bucket.policy, bucket.subject.clone());
        let pinned = |other: &Entry| other.is_spent(now, bucket.policy.instances());
        self.table.get_or_insert(self.id(bucket), now, make, change, pinned)
    }

    fn overflow(&self, policy: &RatePolicy, now: u64, cost: u32) -> Decision {
        let mut buckets = self.overflow.lock();
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
    /// What is known here of a subject is what Redis last said of it, so this never refuses what
    /// Redis would admit, except after somebody lowered the debt there by hand (`DEL`), and then
    /// for one full burst at most (or until [`reset`](Self::reset)).
    #[inline]
    pub(super) fn denied(&self, bucket: Bucket<'_>, now: u64, cost: u32) -> Option<Decision> {
        let policy = bucket.policy;
        let look = |entry: &Entry| {
            if let [window] = policy.whole() {
                // What Redis knew is part of what is owed here: mostly this settles it.
                if law::decide_one(window, entry.expires_at(), now, cost).allowed() {
                    return None;
                }
            }
            let remote = entry.windows().map(|window| window.remote);
            let decision = law::decide(policy.whole(), &remote, now, cost);
            (!decision.allowed()).then(|| decision.longer(entry.remote_latency()))
        };
        self.table.with(self.id(bucket), look).flatten()
    }

    /// Takes note of what Redis decided between `asked` and `answered`, so that the deny cache
    /// knows and an outage starts from there. Answers may overtake each other; the larger debt is
    /// the later one.
    ///
    /// Nobody is refused here for longer than there, and nobody is told to come back earlier than
    /// there.
    pub(super) fn learn(
        &self,
        bucket: Bucket<'_>,
        (asked, answered): (u64, u64),
        decision: &Decision,
    ) {
        if decision.debts().iter().all(|debt| *debt == 0) {
            return;
        }
        let learn = |entry: &Entry| entry.learn(asked, answered, decision.debts());
        if self.table.with(self.id(bucket), learn).is_none() {
            // A table full of subjects that are being refused does without this one.
            let _: Result<(), Full> = self.insert(bucket, asked, learn);
        }
    }

    /// What the subjects in one part of the table owe Redis, when the limit was divided among
    /// `instances`; `None` after the last part. Parts are numbered from 0 and small, so that a
    /// recovery can pace itself and stops no request for long. With `is_lost`, Redis may have
    /// forgotten what it told us: those who owe only that are named as well.
    pub(super) fn owed(
        &self,
        part: usize,
        now: u64,
        instances: NonZeroU32,
        is_lost: bool,
    ) -> Option<Vec<Owed>> {
        let owed = |entry: &Entry| {
            let windows = entry.windows();
            let unsettled = windows.map(|window| window.unsettled(now));
            let remote = windows.map(|window| window.remote.saturating_sub(now));
            let charge = debt::owed(instances.get(), &unsettled, &remote);
            let Cold { subject, policy, .. } = &*entry.cold;
            let (subject, policy) = (subject.clone(), policy.clone());
            let is_due = charge.is_due() || is_lost && charge.is_known();
            is_due.then_some(Owed { subject, policy, charge, unsettled, at: now })
        };
        self.table.visit(part, |entries| {
            entries.filter(|entry| entry.expires_at() > now).filter_map(owed).collect()
        })
    }

    /// Redis has been charged for what was `owed`, and says what the subject owes there now
    /// (`debts`, in microseconds). From here on the subject is Redis's again; what was admitted
    /// here meanwhile stays on top.
    pub(super) fn settle(&self, owed: &Owed, now: u64, debts: &[u64]) {
        self.change(owed.bucket(), |windows| {
            for ((window, debt), charged) in windows.iter_mut().zip(debts).zip(&owed.unsettled) {
                window.settle(owed.at, *charged, now, *debt);
            }
        });
    }

    /// Redis has taken back `cells` that it had handed out `age` microseconds before.
    pub(super) fn given_back(&self, bucket: Bucket<'_>, cells: u32, age: u64) {
        self.change(bucket, |windows| {
            for (state, window) in windows.iter_mut().zip(bucket.policy.whole()) {
                state.lower(window.price(cells).saturating_sub(age));
            }
        });
    }

    /// Forgets what a subject owes, in this process.
    pub(super) fn reset(&self, bucket: Bucket<'_>) {
        self.change(bucket, |windows| windows.fill(WindowState::default()));
    }

    fn change(&self, bucket: Bucket<'_>, change: impl Fn(&mut [WindowState])) {
        self.table.with(self.id(bucket), |entry| entry.change(change));
    }

    /// How many subjects are held.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    #[inline]
    fn id(&self, bucket: Bucket<'_>) -> Id {
        self.hasher.id(bucket.policy.space(), bucket.subject.bytes())
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
