//! Leases of all subjects: one trip to Redis for many decisions.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use super::backends::Backends;
use super::bucket::Bucket;
use super::law::Decision;
use super::lease::Lease;
use super::policy::RatePolicy;
use super::subject::Subject;
use super::verdict::{DecisionSource, RateVerdict};
use crate::Error;
use crate::health::HealthMonitor;
use crate::memory::{BoundedMap, Decaying, Full, Id, IdHasher};

/// What is not spent after this long goes back.
const HELD: Duration = Duration::from_millis(500);
/// How long a request waits for its turn to take a lease. After that it asks for itself alone.
const LONGEST_TURN: Duration = Duration::from_millis(100);

/// The leases that this instance holds.
pub(super) struct Leases {
    backends: Arc<Backends>,
    /// Cells in one trip.
    cells: NonZeroU32,
    table: BoundedMap<Entry>,
    hasher: IdHasher,
}

struct Entry {
    /// Forgotten from then on, unless it is used.
    until: AtomicU64,
    slot: Arc<LeaseSlot>,
}

/// The lease of one subject.
struct LeaseSlot {
    policy: RatePolicy,
    subject: Subject,
    state: Mutex<State>,
    /// One request at a time asks Redis for more; those who wait for it find what it got.
    turn: tokio::sync::Mutex<()>,
}

struct State {
    lease: Lease,
    /// What was left in Redis last.
    left: u32,
}

impl Decaying for Entry {
    fn expires_at(&self) -> u64 {
        self.until.load(Ordering::Relaxed)
    }
}

impl Leases {
    pub(super) fn new(backends: &Arc<Backends>, cells: NonZeroU32, capacity: usize) -> Self {
        let (table, hasher) = (BoundedMap::new(capacity), IdHasher::random());
        Self { backends: Arc::clone(backends), cells, table, hasher }
    }

    fn id(&self, bucket: Bucket<'_>) -> Id {
        self.hasher.id(bucket.policy.space(), bucket.subject.bytes())
    }

    /// Spends what is held.
    #[inline]
    pub(super) fn spend(&self, bucket: Bucket<'_>, now: u64, cost: u32) -> Option<Decision> {
        let windows = bucket.policy.whole();
        let spend = |entry: &Entry| entry.slot.state.lock().lease.spend(windows, now, cost);
        self.table.with(self.id(bucket), spend).flatten()
    }

    /// Takes a lease and spends from it, or from the one that somebody else is taking. `None`: to
    /// be asked one by one.
    pub(super) async fn ask(
        &self,
        bucket: Bucket<'_>,
        cost: u32,
    ) -> Option<Result<RateVerdict, Error>> {
        let slot = self.slot(bucket)?;
        let _turn = timeout(LONGEST_TURN, slot.turn.lock()).await.ok()?;
        let (now, windows) = (self.backends.now(), bucket.policy.whole());
        let wanted = {
            let mut state = slot.state.lock();
            if let Some(decision) = state.lease.spend(windows, now, cost) {
                return Some(Ok(RateVerdict::whole(decision, DecisionSource::Redis)));
            }
            // The nearer the limit, the smaller the leases: nobody sits on what the others need.
            let fair = state.left / self.backends.instances().get().saturating_mul(2);
            self.cells.get().min(fair).max(cost)
        };
        // Refused meanwhile, maybe.
        if let Some(denied) = self.backends.memory.denied(bucket, now, cost) {
            return Some(Ok(RateVerdict::whole(denied, DecisionSource::DenyCache)));
        }
        Some(self.fill(&slot, wanted, cost).await)
    }

    /// The slot of a subject; `None` when there is no room for another.
    fn slot(&self, bucket: Bucket<'_>) -> Option<Arc<LeaseSlot>> {
        let now = self.backends.now();
        let until = now + 2 * HELD.as_micros() as u64;
        let look = |entry: &Entry| {
            entry.until.store(until, Ordering::Relaxed);
            Arc::clone(&entry.slot)
        };
        let make = || {
            let slot = Arc::new(LeaseSlot::new(bucket));
            Entry { until: until.into(), slot }
        };
        let kept: Result<_, Full> =
            self.table.get_or_insert(self.id(bucket), now, make, look, |_| true);
        kept.ok()
    }

    async fn fill(&self, slot: &LeaseSlot, wanted: u32, cost: u32) -> Result<RateVerdict, Error> {
        let (bucket, windows) = (slot.bucket(), slot.policy.whole());
        let Backends { remote, memory, .. } = &*self.backends;
        let asked = self.backends.now();
        let (taken, decision) = remote.lease(bucket, wanted, cost).await?;
        memory.learn(bucket, (asked, self.backends.now()), &decision);
        let mut state = slot.state.lock();
        state.left = decision.remaining();
        state.lease.add(windows, asked, taken, decision.debts());
        let spent = state.lease.spend(windows, asked, cost);
        Ok(RateVerdict::whole(spent.unwrap_or(decision), DecisionSource::Redis))
    }

    /// Gives back what has not been spent for a while.
    async fn return_unspent(&self) {
        let Backends { remote, memory, .. } = &*self.backends;
        for part in 0.. {
            let Some(unspent) = self.take_unspent(part, self.backends.now()) else { return };
            for (slot, cells, age) in unspent {
                // What cannot be given back counts as spent, and wears off as that does.
                if remote.give_back(slot.bucket(), cells, age).await.is_ok() {
                    memory.given_back(slot.bucket(), cells, age);
                }
            }
        }
    }

    /// The leases in one part of the table that have been held for long enough, emptied.
    fn take_unspent(&self, part: usize, now: u64) -> Option<Vec<(Arc<LeaseSlot>, u32, u64)>> {
        self.table.visit(part, |all| {
            let unspent = all.filter_map(|entry| {
                let held_for = HELD.as_micros() as u64;
                let windows = entry.slot.policy.whole();
                let (cells, age) = entry.slot.state.lock().lease.give_up(windows, now, held_for)?;
                Some((Arc::clone(&entry.slot), cells, age))
            });
            unspent.collect()
        })
    }
}

/// Returns what is not spent, until the leases are dropped.
pub(super) async fn maintain(leases: Weak<Leases>, monitor: HealthMonitor) {
    loop {
        sleep(HELD / 2).await;
        let Some(leases) = leases.upgrade() else { return };
        if monitor.is_available() {
            leases.return_unspent().await;
        }
    }
}

impl LeaseSlot {
    fn new(Bucket { policy, subject }: Bucket<'_>) -> Self {
        let left = policy.whole().iter().map(|window| window.burst).min().unwrap_or(1);
        let state = Mutex::new(State { lease: Lease::default(), left });
        let (policy, subject) = (policy.clone(), subject.clone());
        Self { policy, subject, state, turn: tokio::sync::Mutex::default() }
    }

    fn bucket(&self) -> Bucket<'_> {
        Bucket { policy: &self.policy, subject: &self.subject }
    }
}
