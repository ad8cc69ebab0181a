//! What the clones of a limiter share, and how it judges.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
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
use crate::store::membership::{MemberCount, MemberSettings};
use crate::store::rate::{DecisionSource, Flag, Subject, Tally};
use crate::store::switch::{Needs, Switch};
use crate::telemetry::Feature;

pub(super) struct Inner {
    pub(super) redis: Redis,
    pub(super) limit: InFlight,
    /// Who else is there.
    pub(super) members: MemberCount,
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
    task: AbortHandle,
    _recovery: Registration,
}

impl Inner {
    pub(super) fn new(redis: &Redis, limit: InFlight, members: MemberSettings) -> Arc<Self> {
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
            let (outbox, period) = (Outbox::default(), keeper::period(&limit));
            let posted = Arc::clone(&outbox.posted);
            let task =
                redis.spawn(keeper::run(inner.clone(), redis.monitor().watch(), posted, period));
            Self {
                redis: redis.clone(),
                members: MemberCount::new(redis, members),
                table: Table::default(),
                remote: RedisLeases::new(redis, &limit),
                outbox,
                round: Mutex::default(),
                told: Flag::default(),
                tally: Tally::new(redis.metrics(), &format!("concurrency:{}", limit.name())),
                switch: Switch::new(redis, Feature::RateLimit, Needs::Writes),
                next: AtomicU64::new(0),
                task,
                limit,
                _recovery: recovery,
            }
        })
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
        let limit = law::share(self.limit.limit(), self.members.get());
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
        keeper::renewal(&self.limit)
    }

    fn place(self: &Arc<Self>, key: Arc<str>) -> Place {
        let holder: Holder = self.next.fetch_add(1, Ordering::Relaxed);
        Place { inner: Arc::clone(self), key, holder, told: Told::Nothing }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}
