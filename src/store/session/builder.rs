//! The settings of a session store.

use super::{
    keys::SessionKeys,
    store::{CAPACITY, SessionStore},
};
use crate::redis::Redis;

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
    /// A store in this Redis, whose snapshots are sealed with these keys, with other settings than
    /// the defaults of [`new`](Self::new).
    ///
    /// ```no_run
    /// use evenkeel::{layer::SessionLayer, redis::Redis, store::session::{SessionKeys, SessionStore}};
    ///
    /// # fn demo() -> Result<(), evenkeel::Error> {
    /// let redis = Redis::from_env()?;
    /// let store = SessionStore::builder(&redis, SessionKeys::from_env()?).with_capacity(1_000_000).build();
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
        SessionStore::with_capacity(&self.redis, self.keys, self.capacity)
    }
}
