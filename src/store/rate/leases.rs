//! Leases of all subjects: one trip to Redis for many decisions.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::backends::Backends;
use super::law::Decision;
use super::lease::Lease;
use super::policy::Policy;
use super::subject::Subject;
use super::verdict::{DecisionSource, Verdict};
use crate::Error;
use crate::memory::{BoundedMap, Decaying, Full, Id, IdHasher};

/// What is not spent after this long goes back.
const HELD: Duration = Duration::from_millis(500);
/// How often one request waits for a lease that others take and spend before its turn comes.
const PATIENCE: usize = 4;

/// The leases that this instance holds.
pub(super) struct Leases {
    backends: Arc<Backends>,
    /// Cells in one trip.
    cells: NonZeroU32,
    table: BoundedMap<Held>,
    hasher: IdHasher,
}

struct Held {
    /// Forgotten from then on, unless it is used.
    until: AtomicU64,
    slot: Arc<LeaseSlot>,
}

/// The lease of one subject, and who waits for it.
struct LeaseSlot {
    policy: Policy,
    subject: Subject,
    state: Mutex<State>,
    filled: Notify,
}

struct State {
    lease: Lease,
    /// Somebody asks Redis for more.
    filling: bool,
    /// What was left in Redis last.
    left: u32,
}

impl Decaying for Held {
    fn expires_at(&self) -> u64 {
        self.until.load(Ordering::Relaxed)
    }
}

impl Leases {
    pub(super) fn new(backends: &Arc<Backends>, cells: NonZeroU32, capacity: usize) -> Self {
        let (table, hasher) = (BoundedMap::new(capacity), IdHasher::random());
        Self { backends: Arc::clone(backends), cells, table, hasher }
    }

    fn id(&self, policy: &Policy, subject: &Subject) -> Id {
        self.hasher.id(policy.space(), subject.bytes())
    }

    /// Spends what is held.
    #[inline]
    pub(super) fn spend(
        &self,
        policy: &Policy,
        subject: &Subject,
        now: u64,
        cost: u32,
    ) -> Option<Decision> {
        let spend = |held: &Held| held.slot.state.lock().lease.spend(policy.whole(), now, cost);
        self.table.with(self.id(policy, subject), spend).flatten()
    }

    /// Takes a lease and spends from it, or from the one that somebody else is taking. `None`: to be
    /// asked one by one.
    pub(super) async fn ask(
        &self,
        policy: &Policy,
        subject: &Subject,
        cost: u32,
    ) -> Option<Result<Verdict, Error>> {
        let slot = self.slot(policy, subject)?;
        for _ in 0..PATIENCE {
            let mut filled = std::pin::pin!(slot.filled.notified());
            filled.as_mut().enable();
            match self.turn(&slot, cost) {
                Turn::Spent(decision) => {
                    return Some(Ok(Verdict::whole(decision, DecisionSource::Redis)));
                }
                Turn::Wait => filled.await,
                Turn::Fill(wanted) => return Some(self.fill(&slot, wanted, cost).await),
            }
            let Backends { memory, .. } = &*self.backends;
            if let Some(denied) = memory.denied(policy, subject, self.backends.now(), cost) {
                return Some(Ok(Verdict::whole(denied, DecisionSource::DenyCache)));
            }
        }
        None
    }

    /// The slot of a subject; `None` when there is no room for another.
    fn slot(&self, policy: &Policy, subject: &Subject) -> Option<Arc<LeaseSlot>> {
        let now = self.backends.now();
        let until = now + 2 * HELD.as_micros() as u64;
        let look = |held: &Held| {
            held.until.store(until, Ordering::Relaxed);
            Arc::clone(&held.slot)
        };
        let make = || {
            let slot = LeaseSlot::new(policy.clone(), subject.clone());
            Held { until: until.into(), slot: Arc::new(slot) }
        };
        let kept: Result<_, Full> =
            self.table.get_or_insert(self.id(policy, subject), now, make, look, |_| true);
        kept.ok()
    }

    fn turn(&self, slot: &LeaseSlot, cost: u32) -> Turn {
        let mut state = slot.state.lock();
        let now = self.backends.now();
        if let Some(decision) = state.lease.spend(slot.policy.whole(), now, cost) {
            return Turn::Spent(decision);
        }
        if state.filling {
            return Turn::Wait;
        }
        state.filling = true;
        // The nearer the limit, the smaller the leases: nobody sits on what the others need.
        let fair = state.left / self.backends.instances().get().saturating_mul(2);
        Turn::Fill(self.cells.get().min(fair).max(cost))
    }

    async fn fill(&self, slot: &LeaseSlot, wanted: u32, cost: u32) -> Result<Verdict, Error> {
        let filling = Filling(slot);
        let LeaseSlot { policy, subject, .. } = slot;
        let Backends { remote, memory, .. } = &*self.backends;
        let (asked, mut connection) = (self.backends.now(), self.backends.connection());
        let (taken, decision) =
            remote.lease(&mut connection, policy, subject, wanted, cost).await?;
        memory.learn(policy, subject, (asked, self.backends.now()), &decision);
        let mut state = slot.state.lock();
        state.left = decision.remaining();
        state.lease.add(policy.whole(), asked, taken, decision.debts());
        let spent = state.lease.spend(policy.whole(), asked, cost);
        drop(state);
        drop(filling);
        Ok(Verdict::whole(spent.unwrap_or(decision), DecisionSource::Redis))
    }

    /// Gives back what has not been spent for a while.
    async fn return_unspent(&self) {
        let Backends { remote, memory, .. } = &*self.backends;
        for part in 0.. {
            let Some(unspent) = self.take_unspent(part, self.backends.now()) else { return };
            for (slot, cells, age) in unspent {
                let LeaseSlot { policy, subject, .. } = &*slot;
                let mut connection = self.backends.connection();
                // What cannot be given back counts as spent, and wears off as that does.
                let back = remote.give_back(&mut connection, policy, subject, cells, age).await;
                if back.is_ok() {
                    memory.given_back(policy, subject, cells, age);
                }
            }
        }
    }

    /// The leases in one part of the table that have been held for long enough, emptied.
    fn take_unspent(&self, part: usize, now: u64) -> Option<Vec<(Arc<LeaseSlot>, u32, u64)>> {
        self.table.visit(part, |all| {
            let unspent = all.filter_map(|held| {
                let held_for = HELD.as_micros() as u64;
                let windows = held.slot.policy.whole();
                let (cells, age) = held.slot.state.lock().lease.give_up(windows, now, held_for)?;
                Some((Arc::clone(&held.slot), cells, age))
            });
            unspent.collect()
        })
    }
}

/// Returns what is not spent, until the leases are dropped.
pub(super) async fn maintain(leases: Weak<Leases>) {
    loop {
        sleep(HELD / 2).await;
        let Some(leases) = leases.upgrade() else { return };
        if leases.backends.redis.monitor().is_available() {
            leases.return_unspent().await;
        }
    }
}

impl LeaseSlot {
    fn new(policy: Policy, subject: Subject) -> Self {
        let left = policy.whole().iter().map(|window| window.burst).min().unwrap_or(1);
        let state = Mutex::new(State { lease: Lease::default(), filling: false, left });
        Self { policy, subject, state, filled: Notify::new() }
    }
}

/// Whoever asks Redis; the next may when this is dropped, wherever that is.
struct Filling<'a>(&'a LeaseSlot);

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.0.state.lock().filling = false;
        self.0.filled.notify_waiters();
    }
}

enum Turn {
    Spent(Decision),
    Wait,
    /// To ask for so many.
    Fill(u32),
}
