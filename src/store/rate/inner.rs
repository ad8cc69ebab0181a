//! What the clones of a limiter share.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::instances::Heartbeat;
use super::keeper;
use super::leases::{self, Leases};
use super::memory::RateMemory;
use super::recovery::Ledger;
use super::redis::RedisLimit;
use super::tally::Tallies;
use crate::clock::Clock;
use crate::health::{Continuity, Registration, Stage};
use crate::redis::Redis;
use crate::store::switch::{Needs, Switch};
use crate::telemetry::Feature;

#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub(super) max_subjects: usize,
    pub(super) expected: NonZeroU32,
    pub(super) fixed: Option<NonZeroU32>,
    pub(super) lease: Option<NonZeroU32>,
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
    instances: AtomicU32,
    pub(super) settings: Settings,
    clock: Clock,
    tasks: OnceLock<[Option<AbortHandle>; 2]>,
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
            Self {
                redis: redis.clone(),
                memory: RateMemory::new(settings.max_subjects),
                remote: RedisLimit::new(redis),
                ledger: Ledger::new(redis),
                leases: settings.lease.map(|cells| Leases::new(cells, settings.max_subjects)),
                owing: Flag::default(),
                told: Flag::default(),
                switch: Switch::new(redis, Feature::RateLimit, Needs::Writes),
                tallies: Tallies::default(),
                instances: AtomicU32::new(settings.fixed.unwrap_or(settings.expected).get()),
                settings,
                clock: Clock::here(),
                tasks: OnceLock::new(),
                _settling: settling,
            }
        })
    }

    /// Starts the tasks, unless they run. A limiter that was made outside of a runtime has them from the first question
    /// to Redis on.
    pub(super) fn keep(self: &Arc<Self>) {
        if self.tasks.get().is_some() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        self.tasks.get_or_init(|| {
            let inner = Arc::downgrade(self);
            let heartbeat = Heartbeat::new(&self.redis, self.period());
            let keeper = runtime.spawn(keeper::run(inner.clone(), heartbeat)).abort_handle();
            let leases = self.leases.is_some();
            let leases =
                leases.then(|| runtime.spawn(leases::return_unspent(inner)).abort_handle());
            [Some(keeper), leases]
        });
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
        NonZeroU32::new(self.instances.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN)
    }

    pub(super) fn reckon_with(&self, instances: NonZeroU32) {
        let instances = self.settings.fixed.unwrap_or(instances);
        self.instances.store(instances.get(), Ordering::Relaxed);
    }

    pub(super) fn expected(&self) -> NonZeroU32 {
        self.settings.expected
    }

    pub(super) fn period(&self) -> Duration {
        self.redis.probe_interval()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in self.tasks.get().into_iter().flatten().flatten() {
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
