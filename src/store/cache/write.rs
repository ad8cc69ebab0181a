//! What changes a value ends it everywhere: here at once, in Redis and elsewhere now or later.

use std::{future::Future, sync::Arc, time::Duration};

use super::{
    backlog::Dirty,
    generations::Scope,
    shared::NewEntry,
    store::{Cache, Inner},
    value::CacheValue,
};
use crate::{Error, store::Propagation};

impl<V: Clone + Send + Sync + 'static> Cache<V> {
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
        let frame = shared.frame(&entry, begun, &payload);
        let kept_for = Duration::from_micros(entry.stale_until.saturating_sub(now));
        let mut connection = shared.redis.connection();
        let told = shared.remote().put(&mut connection, &key, &frame, kept_for);
        self.change(&key, || shared.memory.put(&key, Arc::clone(&entry)), told).await
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
        let counted = shared.metrics.invalidation();
        let mut connection = shared.redis.connection();
        let told = shared.remote().delete(&mut connection, &key);
        counted.ended(self.change(&key, || shared.memory.invalidate(&key), told).await)
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
        let mut connection = shared.redis.connection();
        let told = shared.remote().expire(&mut connection, &key);
        self.change(&key, || shared.memory.expire(&key, shared.clock.micros()), told).await
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
        let counted = shared.metrics.invalidation();
        let (scope, moment) = shared.backlog.note_scope(scope);
        let guard = replay.guard();
        let mut connection = shared.redis.connection();
        match shared.switch.redis(shared.remote().raise(&mut connection, &scope)).await {
            Ok(generation) => {
                shared.generations().told(&scope, moment, generation);
                shared.backlog.settle(&Dirty::Scope(scope), moment);
                guard.settled();
                counted.ended(Propagation::Propagated)
            }
            Err(error) => {
                shared.switch.log(&error);
                counted.ended(Propagation::Pending)
            }
        }
    }

    /// Changes the key here, and in Redis now or when it is back.
    async fn change(
        &self,
        key: &Arc<str>,
        here: impl FnOnce(),
        told: impl Future<Output = Result<(), Error>>,
    ) -> Propagation {
        let Inner { shared, replay, .. } = &*self.inner;
        // In this order: who reads Redis from now on finds the key noted, and what was read before
        // is voided.
        let moment = shared.backlog.note_key(key);
        let guard = replay.guard();
        here();
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
        shared.backlog.note_key(self.key);
        shared.memory.invalidate(self.key);
        replay.arm();
    }
}
