//! The settings of a store for tower-sessions.

use std::time::Duration;

use super::{copies::rules, store::TowerSessionStore};
use crate::{redis::Redis, store::session::rules::Rules};

/// Copies that are kept unless set.
const CAPACITY: usize = 10_000;

/// Settings of a [`TowerSessionStore`], from [`TowerSessionStore::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing is made before `build`"]
pub struct TowerSessionStoreBuilder {
    redis: Redis,
    rules: Rules,
    capacity: usize,
}

impl TowerSessionStore {
    /// A store in this Redis, with an hour's trust in copies and room for 10 000.
    /// [`builder`](Self::builder) has the settings.
    pub fn new(redis: &Redis) -> Self {
        Self::builder(redis).build()
    }

    /// A store in this Redis, with other settings than the defaults.
    pub fn builder(redis: &Redis) -> TowerSessionStoreBuilder {
        TowerSessionStoreBuilder { redis: redis.clone(), rules: rules(), capacity: CAPACITY }
    }
}

impl TowerSessionStoreBuilder {
    /// Of how many sessions a copy is kept here for an outage. Default: 10 000; at least 2.
    pub fn with_capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions;
        self
    }

    /// For how long a copy is believed without Redis, counted from when Redis last verified it.
    /// Default: an hour.
    pub fn with_max_offline_age(mut self, age: Duration) -> Self {
        self.rules.max_offline_age = age;
        self
    }

    /// The store.
    pub fn build(self) -> TowerSessionStore {
        TowerSessionStore::with(&self.redis, self.rules, self.capacity)
    }
}
