//! The store: Redis, what the client carries, and what this instance knows by itself.

use std::{
    fmt,
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

use super::{
    expiry::{millis, wall},
    id::SessionName,
    keys::SessionKeys,
    memory::Memory,
    metrics::SessionMetrics,
    redis::Records,
    rules::Rules,
    snapshot_cache::SnapshotCache,
    tombstones::Tombstone,
};
use crate::{
    Error,
    health::{HealthMonitor, Registration, Stage},
    redis::Redis,
    store::switch::{Needs, Switch},
    telemetry::Feature,
};

/// Sessions that are remembered here when they ended, and as many whose newest version is.
const BOUND: usize = 100_000;

/// Sessions in Redis, and what is needed to go on without it. Cheap to clone; clones are one store.
///
/// [`SessionLayer`](crate::layer::SessionLayer) makes one and uses it; an application asks it for
/// [all sessions of a subject](Self::list) and to [end them](Self::revoke_all).
///
/// # When Redis is down
///
/// What is ended here is remembered until it could not live any longer, refused at once, and brought to Redis before it is announced as
/// available again. Listing needs Redis.
///
/// # At the bound
///
/// Of 100 000 sessions each (see [`SessionLayer::with_capacity`](crate::layer::SessionLayer::with_capacity)) it is remembered
/// that they ended, and what their newest version is. When more end, the oldest is forgotten and a cut-off is raised in its
/// place: sessions that Redis has not verified since are not believed without it; and when what was forgotten is an end that Redis does not know of
/// (100 000 logouts in one outage), sessions that were not used since are refused on this instance after it, too. Of versions, those of the sessions
/// that were not used for the longest time are forgotten.
#[derive(Clone)]
pub struct SessionStore {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) redis: Redis,
    pub(super) records: Records,
    pub(super) keys: SessionKeys,
    pub(super) memory: Memory,
    pub(super) snapshots: SnapshotCache,
    pub(super) switch: Switch,
    pub(super) metrics: SessionMetrics,
    /// A task brings to Redis what it does not know yet.
    pub(super) is_pushing: AtomicBool,
    step: OnceLock<Registration>,
}

impl SessionStore {
    /// A store in this Redis, whose snapshots are sealed with these keys.
    pub fn new(redis: &Redis, keys: SessionKeys) -> Self {
        Self::with_bound(redis, keys, BOUND)
    }

    pub(crate) fn with_bound(redis: &Redis, keys: SessionKeys, bound: usize) -> Self {
        let inner = Arc::new(Inner {
            redis: redis.clone(),
            records: Records::new(redis),
            keys,
            memory: Memory::new(bound),
            snapshots: SnapshotCache::new(),
            switch: Switch::new(redis, Feature::Session, Needs::Reads),
            metrics: SessionMetrics::new(redis.metrics()),
            is_pushing: AtomicBool::new(false),
            step: OnceLock::new(),
        });
        let weak = Arc::downgrade(&inner);
        let step = redis.on_recovery(Stage::Guards, "sessions", move |connection, recovery| {
            let store = weak.upgrade();
            async move {
                let Some(store) = store else { return Ok(()) };
                store.bring_up_to_date(connection, &recovery).await
            }
        });
        let _ = inner.step.set(step);
        Self { inner }
    }

    pub(crate) fn monitor(&self) -> &HealthMonitor {
        self.inner.redis.monitor()
    }

    /// Stands for the data that Redis holds.
    pub(super) fn epoch(&self) -> u64 {
        self.inner.redis.epoch().unwrap_or_default()
    }

    /// Sessions live by these rules: what is ended is remembered for as long.
    pub(crate) fn note_lifetime(&self, rules: &Rules) {
        self.inner.memory.note_lifetime(millis(rules.expiry.absolute()));
    }

    /// The error of an answer that only Redis could give.
    pub(crate) fn unavailable(&self) -> Error {
        self.inner.unavailable()
    }
}

impl Inner {
    /// Remembers that a session has ended, before Redis knows.
    pub(super) fn insert_tombstone(&self, name: SessionName, ends: u64) {
        self.memory.insert_tombstone(name, Tombstone { at: wall(), until: ends });
        self.snapshots.forget(name);
    }

    /// The error of an answer that only Redis could give.
    pub(super) fn unavailable(&self) -> Error {
        self.redis.monitor().request_probe();
        Error::new(crate::ErrorKind::Unavailable, "the session cannot be judged without Redis")
    }
}

impl fmt::Debug for SessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStore")
            .field("namespace", &self.inner.redis.namespace())
            .field("keys", &self.inner.keys)
            .finish_non_exhaustive()
    }
}
