//! The handle of the session store, its settings, and what its operations share.

use std::{fmt, sync::Arc};

use super::{
    ending::Ending,
    id::SessionName,
    key_ring::KeyRing,
    keys::SessionKeys,
    lineage::Lineage,
    memory::Memory,
    metrics::{Operation::Forget, Outcome, SessionMetrics},
    redis::Records,
    snapshot_cache::SnapshotCache,
    tombstones::Tombstone,
};
use crate::{
    Error, ErrorKind,
    health::HealthMonitor,
    redis::Redis,
    store::{
        replay::Replay,
        switch::{Needs, Switch},
    },
    telemetry::Feature,
    units::wall_millis,
};

/// Ended sessions that are remembered here unless set, and newest versions.
const CAPACITY: usize = 100_000;

/// Sessions in Redis, and what is needed to go on without it. Cheap to clone; clones are one store.
///
/// [`SessionLayer`](crate::layer::SessionLayer) makes one and uses it; an application asks it for
/// [all sessions of a subject](Self::list) and to [end them](Self::revoke_all).
///
/// # When Redis is down
///
/// A session that is ended here is refused at once, and is remembered until it could not live any
/// longer. Redis is told before it is announced as available again. Listing needs Redis.
///
/// # At the bound
///
/// The store remembers of 100 000 sessions that they ended, and of as many what their newest
/// version is (see [`with_capacity`](SessionStoreBuilder::with_capacity)).
///
/// When more sessions end, the oldest is forgotten and a cut-off is raised in its place: sessions
/// that Redis has not verified since are not believed without it. If Redis had not been told of the
/// forgotten end (100 000 logouts in one outage), sessions that were not used since are refused
/// on this instance after the outage, too; their records stay. It is logged and counted.
///
/// Sessions without a subject, and those that began while Redis was away, have tables of their own
/// of the same size: a client without an account cannot push out what is remembered of those with
/// one, and no number of logins in an outage can.
///
/// Of the newest versions, those of the sessions that were not used for the longest time are
/// forgotten.
#[derive(Clone)]
pub struct SessionStore {
    pub(super) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(super) redis: Redis,
    pub(super) records: Records,
    pub(super) keys: KeyRing,
    pub(super) lineage: Lineage,
    pub(super) memory: Memory,
    pub(super) snapshots: SnapshotCache,
    pub(super) switch: Switch,
    pub(super) metrics: SessionMetrics,
    /// Tells Redis which sessions ended.
    pub(super) replay: Replay<Self>,
}

/// Settings of a [`SessionStore`], from [`SessionStore::builder`].
///
/// Lifetimes, declared keys and cookies are the
/// [`SessionLayer`](crate::layer::SessionLayer)'s to say: several layers may share a store.
#[derive(Debug, Clone)]
#[must_use = "nothing is made before `build`"]
pub struct SessionStoreBuilder {
    redis: Redis,
    keys: SessionKeys,
    capacity: usize,
}

impl SessionStore {
    /// A store in this Redis, whose snapshots are sealed with these keys.
    /// [`builder`](Self::builder) has the settings.
    pub fn new(redis: &Redis, keys: SessionKeys) -> Self {
        Self::builder(redis, keys).build()
    }

    /// A store in this Redis, whose snapshots are sealed with these keys, with other settings than
    /// the defaults of [`new`](Self::new).
    ///
    /// ```no_run
    /// use evenkeel::{
    ///     layer::SessionLayer,
    ///     redis::Redis,
    ///     store::session::{SessionKeys, SessionStore},
    /// };
    ///
    /// # fn demo() -> Result<(), evenkeel::Error> {
    /// let redis = Redis::from_env()?;
    /// let keys = SessionKeys::from_env()?;
    /// let store = SessionStore::builder(&redis, keys).with_capacity(1_000_000).build();
    /// let layer = SessionLayer::from_store(&store);
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(redis: &Redis, keys: SessionKeys) -> SessionStoreBuilder {
        SessionStoreBuilder { redis: redis.clone(), keys, capacity: CAPACITY }
    }
}

impl SessionStoreBuilder {
    /// Of how many sessions this instance remembers that they ended, and what their newest version
    /// is. Default: 100 000 of each. See [`SessionStore`] for what happens beyond.
    pub fn with_capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions;
        self
    }

    /// The store.
    pub fn build(self) -> SessionStore {
        let Self { redis, keys, capacity } = self;
        let inner = Arc::new_cyclic(|inner| Inner {
            records: Records::new(&redis),
            keys: keys.ring(redis.namespace()),
            lineage: Lineage::new(&redis),
            memory: Memory::new(capacity),
            snapshots: SnapshotCache::new(),
            // A read that Redis answers is worth more than a snapshot, even while it takes no
            // writes.
            switch: Switch::new(&redis, Feature::Session, Needs::Reads),
            metrics: SessionMetrics::new(redis.metrics()),
            replay: Replay::new(&redis, inner.clone()),
            redis,
        });
        SessionStore { inner }
    }
}

impl Inner {
    pub(crate) fn monitor(&self) -> &HealthMonitor {
        self.redis.monitor()
    }

    /// Stands for the data that Redis holds.
    pub(super) fn epoch(&self) -> u64 {
        let epoch = self.redis.epoch();
        // Whatever is sealed in an epoch can be restored from it.
        epoch.inspect(|epoch| self.lineage.note(*epoch)).unwrap_or_default()
    }

    /// Remembers that a session has ended, before Redis is told.
    pub(super) fn insert_tombstone(&self, name: SessionName, ending: Ending) {
        let tombstone = Tombstone { at: wall_millis(), until: ending.until };
        if self.memory.ended().insert(name, tombstone, ending.standing) {
            self.metrics.count(Forget, Outcome::Ok);
            if self.memory.wants_overflow_logged(tombstone.at) {
                tracing::warn!(
                    "more sessions end than this instance remembers: sessions that Redis has not \
                     verified since the oldest of them ended are not believed without it"
                );
            }
        }
        self.snapshots.forget(name);
    }

    /// The error of an answer that only Redis could give.
    pub(crate) fn unavailable(&self) -> Error {
        self.redis.monitor().request_probe();
        Error::new(ErrorKind::Unavailable, "the session cannot be judged without Redis")
    }
}

impl fmt::Debug for SessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStore")
            .field("namespace", &self.inner.redis.namespace())
            .finish_non_exhaustive()
    }
}
