//! The handle: reading and loading.

use std::{
    collections::HashMap,
    error::Error as StdError,
    fmt,
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{task::AbortHandle, time::timeout};

use super::{
    answer::{Cached, Freshness, Tier},
    backlog::CacheBacklog,
    batch::Batch,
    error::LoadError,
    flight::Flight,
    generations::Begun,
    load::Load,
    memory::Turn,
    metrics::CacheStats,
    shared::{Seen, Shared},
    value::CacheValue,
};
use crate::store::replay::Replay;

/// A cache in two tiers, memory before Redis, in front of a loader. Cheap to clone.
///
/// See the [module](super) for how it works.
pub struct Cache<V> {
    pub(super) inner: Arc<Inner<V>>,
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

pub(super) struct Inner<V> {
    pub(super) shared: Arc<Shared<V>>,
    pub(super) replay: Replay<CacheBacklog>,
    pub(super) follower: AbortHandle,
    pub(super) name: String,
}

impl<V> Drop for Inner<V> {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    pub(super) fn from_inner(inner: Inner<V>) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The value, if it is in memory or in Redis. Never loads, and is never an error: what cannot
    /// be read is not there. A value past its time to live is returned as
    /// [stale](Freshness::Stale), within its stale window.
    ///
    /// # When Redis is down
    ///
    /// Memory answers, without I/O. A value in it is fresh for no longer than the cache's
    /// [`ttl_without_redis`](super::CacheBuilder::with_ttl_without_redis) more.
    pub async fn get(&self, key: impl AsRef<str>) -> Option<Cached<V>> {
        let (shared, key) = (&*self.inner.shared, key.as_ref());
        let in_memory = shared.look(key, shared.clock.micros());
        let found = match in_memory {
            Some(seen) if seen.freshness == Freshness::Fresh => Some((seen, Tier::Memory)),
            stale => {
                let in_redis = self.get_from_redis(key).await;
                let in_redis = in_redis.map(|seen| (seen, Tier::Redis));
                in_redis.or(stale.map(|seen| (seen, Tier::Memory)))
            }
        };
        let Some((seen, tier)) = found else {
            shared.metrics.missed();
            return None;
        };
        let answer = shared.answer(&seen, tier);
        let Cached { value, tier, freshness, mode } = answer;
        value.map(|value| Cached { value, tier, freshness, mode })
    }

    async fn get_from_redis(&self, key: &str) -> Option<Seen<V>> {
        let shared = &*self.inner.shared;
        let key: Arc<str> = key.into();
        if !shared.uses_redis() || shared.backlog.is_dirty(&key) {
            return None;
        }
        // Both before Redis is asked: an invalidation that comes between voids what it says.
        let (ticket, begun) = (shared.memory.begin(&key), shared.generations().begin());
        let mut connection = shared.redis.connection();
        match shared.remote().get(&mut connection, &key).await {
            Ok(found) => {
                let seen = shared.read(&key, &found, begun)?;
                ticket.keep(&seen.entry);
                Some(seen)
            }
            Err(error) => {
                shared.switch.log(&error);
                None
            }
        }
    }

    /// The value, from memory, Redis, or else the loader; `None` is what the loader says of what
    /// does not exist. However many ask at once, one load of a key is under way in this process,
    /// and as long as Redis serves one among all instances.
    ///
    /// The loader runs in a task of its own: a caller that goes away does not stop it. Its time is
    /// bounded by the [hard time-out](super::CacheBuilder::with_hard_timeout). Where an older value
    /// may still be served, the caller waits for no longer than the
    /// [soft time-out](super::CacheBuilder::with_soft_timeout).
    ///
    /// # Errors
    ///
    /// The loader has failed, and there is no older value that may be served in its place. Never
    /// about Redis.
    ///
    /// # When Redis is down
    ///
    /// Memory and the loader go on; see the [module](super). A command that times out is waited for
    /// once, for one `op_timeout`.
    ///
    /// ```no_run
    /// # use evenkeel::store::cache::{Cache, LoadError};
    /// # async fn item_in_database(id: u64) -> Result<Option<String>, std::io::Error> { Ok(None) }
    /// # async fn demo(items: Cache<String>) -> Result<(), LoadError> {
    /// let item = items.get_or_load("item:7", || item_in_database(7)).await?;
    /// println!("{:?} from {}", item.value, item.tier.as_str());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_or_load<F, Fut, L, E>(
        &self,
        key: impl AsRef<str>,
        loader: F,
    ) -> Result<Cached<Option<V>>, LoadError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<CacheValue<V>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + Send + 'static,
    {
        let (shared, key) = (&self.inner.shared, key.as_ref());
        let now = shared.clock.micros();
        let in_memory = shared.look(key, now);
        let is_fresh = |seen: &Seen<V>| seen.freshness == Freshness::Fresh;
        let is_fresh = in_memory.as_ref().is_some_and(is_fresh);
        let refreshes = in_memory
            .as_ref()
            .is_some_and(|seen| is_fresh && shared.refreshes_early(&seen.entry, now));
        let mut flight = None;
        if !is_fresh || refreshes {
            // Before the turn is taken: an invalidation that comes between voids the load.
            let begun = shared.generations().begin();
            let (its_flight, load) = self.turn(key.into(), now, begun, refreshes);
            if let Some(load) = load {
                shared.redis.spawn(load.run(loader()));
            }
            flight = Some(its_flight).filter(|_| !is_fresh);
        }
        self.wait(flight.as_deref(), in_memory).await
    }

    /// The load of the key that is under way, or else a new one, which is the caller's to run.
    fn turn(
        &self,
        key: Arc<str>,
        now: u64,
        begun: Begun,
        refreshes: bool,
    ) -> (Arc<Flight<V>>, Option<Load<V>>) {
        let shared = &self.inner.shared;
        let mut landing = None;
        let turn = shared.memory.turn(&key, begun.local, || {
            let (flight, its_landing) = Flight::begin(now, begun.local);
            landing = Some(its_landing);
            flight
        });
        match (turn, landing) {
            (Turn::Load(flight, ticket), Some(landing)) => {
                let shared = Arc::clone(shared);
                (flight, Some(Load { shared, ticket, landing, begun, refreshes }))
            }
            (Turn::Load(flight, _) | Turn::Wait(flight), _) => (flight, None),
        }
    }

    /// What comes of the load, or what there is: where that may be served, without waiting long.
    async fn wait(
        &self,
        flight: Option<&Flight<V>>,
        in_memory: Option<Seen<V>>,
    ) -> Result<Cached<Option<V>>, LoadError> {
        let shared = &*self.inner.shared;
        let Some(flight) = flight else {
            let seen = in_memory.ok_or_else(LoadError::ended)?;
            return Ok(shared.answer(&seen, Tier::Memory));
        };
        let (soft, hard) = (shared.settings.soft_timeout, shared.settings.hard_timeout);
        // The task keeps to the hard time-out; the rest is for Redis, before it.
        let patience = if in_memory.is_some() { soft } else { hard + shared.settings.lease * 2 };
        let waited = Duration::from_micros(shared.clock.micros().saturating_sub(flight.began));
        match (timeout(patience.saturating_sub(waited), flight.outcome()).await, in_memory) {
            (Ok(Ok((entry, tier))), _) => {
                Ok(shared.answer(&Seen { entry, freshness: Freshness::Fresh }, tier))
            }
            (_, Some(stale)) => Ok(shared.answer(&stale, Tier::Memory)),
            (Ok(Err(error)), None) => Err(error),
            (Err(_elapsed), None) => Err(LoadError::timed_out()),
        }
    }

    /// The values of many keys, in their order. What is not in memory is asked of Redis in one
    /// command, and what is not there of the loader in one call, which gets the missing keys and
    /// returns what exists of them. A key that another caller is loading already is waited for.
    ///
    /// # Errors
    ///
    /// The loader has failed, and for one of the keys there is no older value that may be served.
    ///
    /// # When Redis is down
    ///
    /// As [`get_or_load`](Self::get_or_load). Instances do not wait for each other's batches.
    ///
    /// ```no_run
    /// # use std::{collections::HashMap, io};
    /// # use evenkeel::store::cache::{Cache, LoadError};
    /// # async fn demo(items: Cache<String>) -> Result<(), LoadError> {
    /// async fn select(keys: Vec<String>) -> Result<HashMap<String, Option<String>>, io::Error> {
    ///     // SELECT … WHERE key IN (…)
    /// #   Ok(HashMap::new())
    /// }
    ///
    /// let both = items.get_many_or_load(["item:7", "item:8"], select).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_many_or_load<F, Fut, L, E>(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<str>>,
        loader: F,
    ) -> Result<Vec<Cached<Option<V>>>, LoadError>
    where
        F: FnOnce(Vec<String>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<HashMap<String, L>, E>> + Send + 'static,
        L: Into<CacheValue<V>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + Send + 'static,
    {
        let shared = &self.inner.shared;
        let now = shared.clock.micros();
        let begun = shared.generations().begin();
        let (mut wanted, mut loads) = (Vec::new(), Vec::new());
        for key in keys {
            let in_memory = shared.look(key.as_ref(), now);
            let is_fresh = |seen: &Seen<V>| seen.freshness == Freshness::Fresh;
            if in_memory.as_ref().is_some_and(is_fresh) {
                wanted.push((None, in_memory));
                continue;
            }
            let (flight, load) = self.turn(key.as_ref().into(), now, begun, false);
            loads.extend(load);
            wanted.push((Some(flight), in_memory));
        }
        if !loads.is_empty() {
            let batch = Batch { shared: Arc::clone(shared), loads };
            shared.redis.spawn(batch.run(loader));
        }
        let mut values = Vec::with_capacity(wanted.len());
        for (flight, in_memory) in wanted {
            values.push(self.wait(flight.as_deref(), in_memory).await?);
        }
        Ok(values)
    }

    /// Neither tier is used while `only` is true: every value is loaded. Invalidations go on.
    pub fn set_database_only(&self, only: bool) {
        self.inner.shared.is_bypassed.store(only, Ordering::Relaxed);
    }

    /// This instance hears what others invalidate, so memory may answer in place of Redis. It does
    /// not in the first moments, while its connection for that is lost, during an outage, and over
    /// an application's own pool.
    pub fn is_in_step(&self) -> bool {
        self.inner.shared.in_step.load(Ordering::Relaxed)
    }

    /// What this handle's cache has done so far, in this process.
    pub fn stats(&self) -> CacheStats {
        let shared = &self.inner.shared;
        let (entries, bytes) = (shared.memory.len() as u64, shared.memory.bytes());
        CacheStats { entries, bytes, ..shared.metrics.stats() }
    }
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("name", &self.inner.name).finish_non_exhaustive()
    }
}
