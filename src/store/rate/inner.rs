//! What the clones of a limiter share.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::task::AbortHandle;

use super::keeper;
use super::leases::{self, Leases};
use super::memory::RateMemory;
use super::recovery::Ledger;
use super::redis::RedisLimit;
use super::tally::Tallies;
use crate::clock::Clock;
use crate::health::{Continuity, Registration, Stage};
use crate::redis::Redis;
use crate::store::membership::{MemberCount, MemberSettings};
use crate::store::switch::{Needs, Switch};
use crate::telemetry::Feature;

/// Subjects that are held in memory, unless set.
const CAPACITY: usize = 100_000;

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) capacity: usize,
    pub(super) members: MemberSettings,
    pub(super) lease: Option<NonZeroU32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { capacity: CAPACITY, members: MemberSettings::default(), lease: None }
    }
}

pub(super) struct Inner {
    pub(super) redis: Redis,
    pub(super) memory: RateMemory,
    pub(super) remote: RedisLimit,
    pub(super) ledger: Ledger,
    pub(super) leases: Option<Leases>,
    /// Something was admitted without Redis.
    pub(super) owing: Flag,
    /// An error about commands was told in the log.
    pub(super) told: Flag,
    pub(super) switch: Switch,
    pub(super) tallies: Tallies,
    members: MemberCount,
    clock: Clock,
    tasks: [Option<AbortHandle>; 2],
    _settling: Registration,
}

impl Inner {
    pub(super) fn new(redis: &Redis, settings: Settings) -> Arc<Self> {
        Arc::new_cyclic(|inner: &Weak<Self>| {
            let settling = inner.clone();
            let settling =
                redis.on_recovery(Stage::Counters, "rate limits", move |connection, recovery| {
                    let inner = settling.upgrade();
                    async move {
                        let lost = recovery.continuity() != Continuity::Kept;
                        match inner {
                            Some(inner) => inner.settle(&connection, lost).await,
                            None => Ok(()),
                        }
                    }
                });
            let keeper = redis.spawn(keeper::run(inner.clone()));
            let returning =
                settings.lease.map(|_| redis.spawn(leases::return_unspent(inner.clone())));
            Self {
                redis: redis.clone(),
                memory: RateMemory::new(settings.capacity),
                remote: RedisLimit::new(redis),
                ledger: Ledger::new(redis),
                leases: settings.lease.map(|cells| Leases::new(cells, settings.capacity)),
                owing: Flag::default(),
                told: Flag::default(),
                switch: Switch::new(redis, Feature::RateLimit, Needs::Writes),
                tallies: Tallies::default(),
                members: MemberCount::new(redis, settings.members),
                clock: Clock::here(),
                tasks: [Some(keeper), returning],
                _settling: settling,
            }
        })
    }

    #[inline]
    pub(super) fn is_up(&self) -> bool {
        self.switch.is_up()
    }

    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.clock.micros()
    }

    #[inline]
    pub(super) fn instances(&self) -> NonZeroU32 {
        self.members.get()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in self.tasks.iter().flatten() {
            task.abort();
        }
    }
}

/// Something that happened at least once. Written only when it changes, so that many threads may note it.
#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    /// Whether this was the first time.
    #[inline]
    pub(crate) fn note(&self) -> bool {
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
