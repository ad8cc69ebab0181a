//! The handle: reading, loading, writing, invalidating.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{task::AbortHandle, time::timeout};

use super::{
    answer::{Cached, Freshness, Tier},
    backlog::{CacheBacklog, Dirty},
    error::LoadError,
    flight::Flight,
    generations::Scope,
    load::Load,
    memory::Turn,
    metrics::CacheStats,
    shared::{NewEntry, Seen, Shared},
    value::CacheValue,
};
use crate::{
    Error,
    store::{Propagation, replay::Replay},
};

/// A cache in two tiers, memory before Redis, in front of a loader. Cheap to clone.
///
/// See the [module](super) for how it works.
pub struct Cache<V> {
    inner: Arc<Inner<V>>,
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
        if let Some(seen) = in_memory.as_ref().filter(|seen| is_fresh(seen)) {
            if shared.refreshes_early(&seen.entry, now) {
                self.load(key, now, true, loader);
            }
            return Ok(shared.answer(seen, Tier::Memory));
        }
        let flight = self.load(key, now, false, loader);
        let (soft, hard) = (shared.settings.soft_timeout, shared.settings.hard_timeout);
        // The task keeps to the hard time-out; the rest is for Redis, before it.
        let patience = if in_memory.is_some() { soft } else { hard + shared.settings.lease * 2 };
        let waited = Duration::from_micros(now.saturating_sub(flight.began));
        let outcome = timeout(patience.saturating_sub(waited), flight.outcome()).await;
        match (outcome, in_memory) {
            (Ok(Ok((entry, tier))), _) => {
                Ok(shared.answer(&Seen { entry, freshness: Freshness::Fresh }, tier))
            }
            (_, Some(stale)) => Ok(shared.answer(&stale, Tier::Memory)),
            (Ok(Err(error)), None) => Err(error),
            (Err(_elapsed), None) => Err(LoadError::timed_out()),
        }
    }

    /// The load of the key that is under way, or else a new one.
    fn load<F, Fut, L, E>(&self, key: &str, now: u64, refreshes: bool, loader: F) -> Arc<Flight<V>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<CacheValue<V>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + Send + 'static,
    {
        let shared = &self.inner.shared;
        let key: Arc<str> = key.into();
        // Before the turn is taken: an invalidation that comes between voids the load.
        let begun = shared.generations().begin();
        let mut landing = None;
        let turn = shared.memory.turn(&key, || {
            let (flight, its_landing) = Flight::begin(now);
            landing = Some(its_landing);
            flight
        });
        match (turn, landing) {
            (Turn::Load(flight, ticket), Some(landing)) => {
                let shared = Arc::clone(shared);
                let load = Load { shared, ticket, landing, begun, refreshes };
                self.inner.shared.redis.spawn(load.run(loader()));
                flight
            }
            (Turn::Load(flight, _) | Turn::Wait(flight), _) => flight,
        }
    }

    /// Stores a value in both tiers. Other instances drop theirs.
    ///
    /// The database has to be written first. Two instances that set one key at the same moment may
    /// leave either value: where that matters, [`delete`](Self::delete) after the database was
    /// written, and let the next reader load.
    ///
    /// # When Redis is down
    ///
    /// Memory has it at once. What Redis has of the key is deleted when it is back, before it is
    /// used again: [`Pending`](Propagation::Pending).
    pub async fn set(&self, key: impl AsRef<str>, value: impl Into<CacheValue<V>>) -> Propagation {
        let shared = &*self.inner.shared;
        let key: Arc<str> = key.as_ref().into();
        let begun = shared.generations().begin();
        let now = shared.clock.micros();
        let new = shared.new_entry(&key, value.into(), begun, now);
        let NewEntry { entry, payload: Some(payload), is_kept: true } = new else {
            return self.delete(key).await;
        };
        shared.metrics.sets.add(1);
        shared.memory.put(&key, Arc::clone(&entry));
        let frame = shared.frame(&entry, begun, &payload);
        let kept_for = Duration::from_micros(entry.stale_until.saturating_sub(now));
        let mut connection = shared.redis.connection();
        let told = shared.remote().put(&mut connection, &key, &frame, kept_for);
        self.tell_of_key(&key, told).await
    }

    /// Ends the value everywhere, also what is being loaded: who asks after this has returned gets
    /// nothing older than the database had when it was called. Call it after the database was
    /// written, or let [`write_through`](Self::write_through) do both.
    ///
    /// # When Redis is down
    ///
    /// This instance forgets at once. Redis is told when it is back, before it is used again; other
    /// instances go on with what they have for their
    /// [`ttl_without_redis`](super::CacheBuilder::with_ttl_without_redis).
    pub async fn delete(&self, key: impl AsRef<str>) -> Propagation {
        let shared = &*self.inner.shared;
        let key: Arc<str> = key.as_ref().into();
        shared.metrics.deletes.add(1);
        shared.memory.invalidate(&key);
        let mut connection = shared.redis.connection();
        let told = shared.remote().delete(&mut connection, &key);
        self.tell_of_key(&key, told).await
    }

    /// The value is no longer fresh: it is loaded again when it is asked for, and may be served as
    /// stale where that fails.
    ///
    /// # When Redis is down
    ///
    /// As [`delete`](Self::delete): what Redis has is deleted when it is back.
    pub async fn expire(&self, key: impl AsRef<str>) -> Propagation {
        let shared = &*self.inner.shared;
        let key: Arc<str> = key.as_ref().into();
        shared.memory.expire(&key, shared.clock.micros());
        let mut connection = shared.redis.connection();
        let told = shared.remote().expire(&mut connection, &key);
        self.tell_of_key(&key, told).await
    }

    /// Writes to the database, then ends the value: the order in which no old value stays. Also
    /// when the caller goes away in between, or the write fails, because it may have happened all
    /// the same.
    ///
    /// # Errors
    ///
    /// The write's own.
    pub async fn write_through<T, E>(
        &self,
        key: impl AsRef<str>,
        write: impl Future<Output = Result<T, E>>,
    ) -> Result<(T, Propagation), E> {
        let key: Arc<str> = key.as_ref().into();
        let mut end = EndOnDrop { cache: self, key: &key, is_over: false };
        let written = write.await;
        let propagation = self.delete(&key).await;
        end.is_over = true;
        Ok((written?, propagation))
    }

    /// Ends every value of this cache, in one step: nothing is enumerated.
    pub async fn clear(&self) -> Propagation {
        self.invalidate(Scope::All).await
    }

    /// Ends every value whose key begins with `prefix`, in one step: nothing is enumerated.
    pub async fn clear_prefix(&self, prefix: impl AsRef<str>) -> Propagation {
        self.invalidate(Scope::Prefix(prefix.as_ref().into())).await
    }

    /// Ends every value with this [tag](CacheValue::with_tags), in one step: nothing is enumerated.
    pub async fn invalidate_tag(&self, tag: impl AsRef<str>) -> Propagation {
        self.invalidate(Scope::Tag(tag.as_ref().into())).await
    }

    async fn invalidate(&self, scope: Scope) -> Propagation {
        let Inner { shared, replay, .. } = &*self.inner;
        shared.metrics.deletes.add(1);
        let (scope, moment) = shared.backlog.note_scope(scope);
        let guard = replay.guard();
        let mut connection = shared.redis.connection();
        match shared.switch.redis(shared.remote().raise(&mut connection, &scope)).await {
            Ok(generation) => {
                shared.generations().told(&scope, moment, generation);
                shared.backlog.settle(&Dirty::Scope(scope), moment);
                guard.settled();
                Propagation::Propagated
            }
            Err(error) => {
                shared.switch.log(&error);
                Propagation::Pending
            }
        }
    }

    /// Tells Redis of a change of the key, now or when it is back.
    async fn tell_of_key(
        &self,
        key: &Arc<str>,
        told: impl Future<Output = Result<(), Error>>,
    ) -> Propagation {
        let Inner { shared, replay, .. } = &*self.inner;
        let moment = shared.backlog.note_key(key);
        let guard = replay.guard();
        match shared.switch.redis(told).await {
            Ok(()) => {
                shared.backlog.settle(&Dirty::Key(Arc::clone(key)), moment);
                guard.settled();
                Propagation::Propagated
            }
            Err(error) => {
                shared.switch.log(&error);
                Propagation::Pending
            }
        }
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

/// Ends a value when its caller goes away.
struct EndOnDrop<'a, V: Clone + Send + Sync + 'static> {
    cache: &'a Cache<V>,
    key: &'a Arc<str>,
    is_over: bool,
}

impl<V: Clone + Send + Sync + 'static> Drop for EndOnDrop<'_, V> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let Inner { shared, replay, .. } = &*self.cache.inner;
        shared.memory.invalidate(self.key);
        shared.backlog.note_key(self.key);
        replay.arm();
    }
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("name", &self.inner.name).finish_non_exhaustive()
    }
}
