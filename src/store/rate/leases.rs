//! Leases of all subjects: one trip to Redis for many decisions.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::inner::Inner;
use super::law::Decision;
use super::lease::Lease;
use super::policy::Policy;
use super::subject::Subject;
use super::verdict::{DecisionSource, Verdict};
use crate::Error;
use crate::memory::{Full, Id, IdHasher, Keyed, Owing};

/// What is not spent after this long goes back.
const HELD: Duration = Duration::from_millis(500);
/// How often one request waits for a lease that others take and spend before its turn comes.
const PATIENCE: usize = 4;

/// The leases that this instance holds.
pub(super) struct Leases {
    /// Cells in one trip.
    cells: NonZeroU32,
    table: Keyed<Held>,
    hasher: IdHasher,
}

struct Held {
    /// Forgotten from then on, unless it is used.
    until: AtomicU64,
    pot: Arc<Pot>,
}

/// The lease of one subject, and who waits for it.
struct Pot {
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

impl Owing for Held {
    fn clear_at(&self) -> u64 {
        self.until.load(Ordering::Relaxed)
    }
}

impl Leases {
    pub(super) fn new(cells: NonZeroU32, bound: usize) -> Self {
        Self { cells, table: Keyed::new(bound), hasher: IdHasher::random() }
    }

    fn id(&self, policy: &Policy, subject: &Subject) -> Id {
        self.hasher.id(policy.space(), subject.bytes())
    }

    /// Spends what is at hand.
    #[inline]
    pub(super) fn spend(
        &self,
        policy: &Policy,
        subject: &Subject,
        now: u64,
        cost: u32,
    ) -> Option<Decision> {
        let spend = |held: &Held| held.pot.lock().lease.spend(policy.whole(), now, cost);
        self.table.with(self.id(policy, subject), spend).flatten()
    }

    /// The pot of a subject; `None` when there is no room for another.
    fn pot(&self, policy: &Policy, subject: &Subject, now: u64) -> Option<Arc<Pot>> {
        let until = now + 2 * HELD.as_micros() as u64;
        let look = |held: &Held| {
            held.until.store(until, Ordering::Relaxed);
            Arc::clone(&held.pot)
        };
        let make = || {
            let pot = Arc::new(Pot::new(policy.clone(), subject.clone()));
            (Held { until: until.into(), pot: Arc::clone(&pot) }, pot)
        };
        let kept: Result<_, Full> =
            self.table.keep(self.id(policy, subject), now, look, make, |_| true);
        kept.ok()
    }

    /// The leases in one part of the table that have been held for long enough, emptied.
    fn given_up(&self, part: usize, now: u64) -> Option<Vec<(Arc<Pot>, u32, u64)>> {
        self.table.visit(part, |all| {
            let given_up = all.filter_map(|held| {
                let held_for = HELD.as_micros() as u64;
                let windows = held.pot.policy.whole();
                let (cells, age) = held.pot.lock().lease.give_up(windows, now, held_for)?;
                Some((Arc::clone(&held.pot), cells, age))
            });
            given_up.collect()
        })
    }
}

impl Pot {
    fn new(policy: Policy, subject: Subject) -> Self {
        let left = policy.whole().iter().map(|window| window.burst).min().unwrap_or(1);
        let state = Mutex::new(State { lease: Lease::default(), filling: false, left });
        Self { policy, subject, state, filled: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever asks Redis; the next may when this is dropped, wherever that is.
struct Filling<'a>(&'a Pot);

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.0.lock().filling = false;
        self.0.filled.notify_waiters();
    }
}

enum Turn {
    Spent(Decision),
    Wait,
    /// To ask for so many.
    Fill(u32),
}

impl Inner {
    /// Takes a lease and spends from it, or from the one that somebody else is taking. `None`: to be asked one by one.
    pub(super) async fn ask_for_lease(
        &self,
        leases: &Leases,
        policy: &Policy,
        subject: &Subject,
        cost: u32,
    ) -> Option<Result<Verdict, Error>> {
        let pot = leases.pot(policy, subject, self.now())?;
        for _ in 0..PATIENCE {
            let mut filled = std::pin::pin!(pot.filled.notified());
            filled.as_mut().enable();
            match self.turn(leases, &pot, cost) {
                Turn::Spent(decision) => {
                    return Some(Ok(Verdict::whole(decision, DecisionSource::Redis)));
                }
                Turn::Wait => filled.await,
                Turn::Fill(wanted) => return Some(self.fill(&pot, wanted, cost).await),
            }
            if let Some(denied) = self.memory.denied(policy, subject, self.now(), cost) {
                return Some(Ok(Verdict::whole(denied, DecisionSource::DenyCache)));
            }
        }
        None
    }

    fn turn(&self, leases: &Leases, pot: &Pot, cost: u32) -> Turn {
        let mut state = pot.lock();
        if let Some(decision) = state.lease.spend(pot.policy.whole(), self.now(), cost) {
            return Turn::Spent(decision);
        }
        if state.filling {
            return Turn::Wait;
        }
        state.filling = true;
        // The nearer the limit, the smaller the leases: nobody sits on what the others need.
        let fair = state.left / self.instances().get().saturating_mul(2);
        Turn::Fill(leases.cells.get().min(fair).max(cost))
    }

    async fn fill(&self, pot: &Pot, wanted: u32, cost: u32) -> Result<Verdict, Error> {
        let filling = Filling(pot);
        let Pot { policy, subject, .. } = pot;
        let asked = self.now();
        let mut connection = self.redis.connection();
        let (taken, decision) =
            self.remote.lease(&mut connection, policy, subject, wanted, cost).await?;
        self.memory.learn(policy, subject, (asked, self.now()), &decision);
        let mut state = pot.lock();
        state.left = decision.remaining();
        state.lease.add(policy.whole(), asked, taken, decision.debts());
        let spent = state.lease.spend(policy.whole(), asked, cost);
        drop(state);
        drop(filling);
        Ok(Verdict::whole(spent.unwrap_or(decision), DecisionSource::Redis))
    }

    /// Gives back what has not been spent for a while.
    async fn give_back(&self, leases: &Leases) {
        for part in 0.. {
            let Some(given_up) = leases.given_up(part, self.now()) else { return };
            for (pot, cells, age) in given_up {
                let Pot { policy, subject, .. } = &*pot;
                let mut connection = self.redis.connection();
                // What cannot be given back counts as spent, and wears off as that does.
                let back =
                    self.remote.give_back(&mut connection, policy, subject, cells, age).await;
                if back.is_ok() {
                    self.memory.given_back(policy, subject, cells, age);
                }
            }
        }
    }
}

/// Returns what is not spent, until the limiter is dropped.
pub(super) async fn return_unspent(inner: Weak<Inner>) {
    loop {
        sleep(HELD / 2).await;
        let Some(inner) = inner.upgrade() else { return };
        if let Some(leases) = &inner.leases
            && inner.is_up()
        {
            inner.give_back(leases).await;
        }
    }
}
