//! What the clones of a limiter share, and how it judges.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::in_flight::InFlight;
use super::memory::{Holder, Table};
use super::outbox::Outbox;
use super::permit::{Admission, Busy, Occupancy, Permit, Place, Told};
use super::redis::RedisLeases;
use super::{keeper, law};
use crate::health::{Registration, Stage};
use crate::redis::Redis;
use crate::store::rate::{DecisionSource, Flag, RateLimiter, Subject, Tally};
use crate::store::switch::{Needs, Switch};
use crate::telemetry::Feature;

pub(super) struct Inner {
    pub(super) redis: Redis,
    pub(super) limit: InFlight,
    /// Who else is there.
    pub(super) fleet: RateLimiter,
    pub(super) table: Table,
    pub(super) remote: RedisLeases,
    pub(super) outbox: Outbox,
    /// What Redis is told, it is told in order: one round at a time.
    pub(super) round: Mutex<()>,
    /// An error about commands was told in the log.
    pub(super) told: Flag,
    pub(super) tally: Tally,
    switch: Switch,
    next: AtomicU64,
    task: OnceLock<AbortHandle>,
    _recovery: Registration,
}

impl Inner {
    pub(super) fn new(fleet: &RateLimiter, limit: InFlight) -> Arc<Self> {
        let redis = fleet.redis();
        Arc::new_cyclic(|inner: &Weak<Self>| {
            let weak = inner.clone();
            let recovery =
                redis.on_recovery(Stage::Counters, "concurrency limits", move |connection, _| {
                    let inner = weak.upgrade();
                    async move {
                        match inner {
                            Some(inner) => inner.round(&connection, None).await,
                            None => Ok(()),
                        }
                    }
                });
            Self {
                redis: redis.clone(),
                fleet: fleet.clone(),
                table: Table::default(),
                remote: RedisLeases::new(redis, &limit),
                outbox: Outbox::default(),
                round: Mutex::default(),
                told: Flag::default(),
                tally: Tally::new(redis.metrics(), limit.name()),
                switch: Switch::new(redis, Feature::RateLimit, Needs::Writes),
                next: AtomicU64::new(0),
                task: OnceLock::new(),
                limit,
                _recovery: recovery,
            }
        })
    }

    /// Starts the task, unless it runs. A limiter that was made outside of a runtime has it from its first question on.
    pub(super) fn keep(self: &Arc<Self>) {
        if self.task.get().is_some() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        self.task.get_or_init(|| {
            let posted = Arc::clone(&self.outbox.posted);
            runtime.spawn(keeper::run(Arc::downgrade(self), posted)).abort_handle()
        });
    }

    /// What is judged without asking anybody: Redis is away, or this instance alone has as many in flight as all may.
    pub(super) fn at_hand(self: &Arc<Self>, subject: &Subject) -> Option<Admission> {
        let key = self.remote.key(subject);
        if !self.switch.is_up() {
            return Some(self.local(self.place(key)));
        }
        let in_flight = self.table.count(&key);
        let limit = self.limit.limit();
        let source = DecisionSource::DenyCache;
        let is_full = in_flight >= limit.get();
        is_full.then_some(Err(Busy(Occupancy { in_flight, limit, source })))
    }

    /// What Redis says, or else what memory says.
    pub(super) async fn ask(self: &Arc<Self>, subject: &Subject) -> Admission {
        self.keep();
        let mut place = self.place(self.remote.key(subject));
        let mut connection = self.redis.connection();
        let asked = Instant::now();
        place.told = Told::InDoubt;
        match self.remote.acquire(&mut connection, &place.key, place.holder).await {
            Ok((admitted, in_flight)) => {
                let (limit, source) = (self.limit.limit(), DecisionSource::Redis);
                let occupancy = Occupancy { in_flight, limit, source };
                if !admitted {
                    place.told = Told::Nothing;
                    return Err(Busy(occupancy));
                }
                self.table.add(&place.key, place.holder, asked + self.renewal());
                place.told = Told::Admitted;
                Ok(Permit::new(place, occupancy))
            }
            Err(error) => {
                if !error.is_unavailable() && self.told.note() {
                    tracing::warn!(%error, "Redis does not decide on concurrency limits: memory does");
                }
                self.local(place)
            }
        }
    }

    /// What memory says, on this instance's share.
    fn local(self: &Arc<Self>, place: Place) -> Admission {
        self.keep();
        let limit = law::share(self.limit.limit(), self.fleet.instances());
        // Redis is to hear of it as soon as it can.
        let due = Instant::now();
        let held = self.table.admit(&place.key, place.holder, limit.get(), due);
        let source = DecisionSource::Memory;
        self.switch
            .from_memory(match held {
                Ok(in_flight) => Ok(Permit::new(place, Occupancy { in_flight, limit, source })),
                Err(in_flight) => Err(Busy(Occupancy { in_flight, limit, source })),
            })
            .value
    }

    /// After how long Redis hears again of a request that is in flight still.
    pub(super) fn renewal(&self) -> Duration {
        self.limit.lease() / 3
    }

    fn place(self: &Arc<Self>, key: Arc<str>) -> Place {
        let holder: Holder = self.next.fetch_add(1, Ordering::Relaxed);
        Place { inner: Arc::clone(self), key, holder, told: Told::Nothing }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}
