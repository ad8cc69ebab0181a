//! What a soft capacity can be told before it is built.

use std::{sync::Arc, time::Duration};

use super::{
    local::Local,
    remote::Remote,
    store::{Inner, SoftCapacity},
};
use crate::{
    Error,
    redis::Redis,
    store::{
        capacity::{metrics::CapacityMetrics, truth::check_name},
        replay::Replay,
        switch::{Needs, Switch},
    },
    telemetry::Feature,
};

/// Builds a [`SoftCapacity`]; nothing is started before `build`.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct SoftCapacityBuilder {
    redis: Redis,
    name: String,
    capacity: u64,
    hold: Option<Duration>,
    share: u64,
    max_local: usize,
}

impl SoftCapacity {
    /// A soft capacity of this name (1 to 64 letters, digits, `-` or `_`): each event has
    /// `capacity`, and nothing is given out while Redis is away. Returns at once, Redis or no
    /// Redis. To be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for another name.
    pub fn new(redis: &Redis, name: &str, capacity: u64) -> Result<Self, Error> {
        Self::builder(redis, name, capacity).build()
    }

    /// A soft capacity with settings of its own.
    pub fn builder(redis: &Redis, name: &str, capacity: u64) -> SoftCapacityBuilder {
        SoftCapacityBuilder {
            redis: redis.clone(),
            name: name.to_owned(),
            capacity,
            hold: None,
            share: 0,
            max_local: 10_000,
        }
    }
}

impl SoftCapacityBuilder {
    /// How long what is given out is held, unless it is released before. Default: for ever.
    pub fn with_hold(mut self, hold: Duration) -> Self {
        self.hold = Some(hold);
        self
    }

    /// How much of each event this instance may give out in one outage, without Redis. Default 0:
    /// nothing.
    ///
    /// What Redis has given out is not known meanwhile, so with `n` instances an event can be
    /// exceeded by `n` shares in each outage. Redis counts them afterwards.
    pub fn with_share_without_redis(mut self, share: u64) -> Self {
        self.share = share;
        self
    }

    /// How many reservations of an outage are kept in memory; beyond that nothing is given out.
    /// Default 10 000.
    pub fn with_max_local(mut self, reservations: usize) -> Self {
        self.max_local = reservations;
        self
    }

    /// The soft capacity. Returns at once, Redis or no Redis. To be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// As [`SoftCapacity::new`].
    pub fn build(self) -> Result<SoftCapacity, Error> {
        let Self { redis, name, capacity, hold, share, max_local } = self;
        check_name(&name)?;
        let remote = Remote::new(&redis, &name, capacity, hold);
        let local = Arc::new(Local::new(remote, share, hold, max_local));
        let replay = Replay::new(&redis, Arc::downgrade(&local));
        let inner = Inner {
            switch: Switch::new(&redis, Feature::Counter, Needs::Writes),
            metrics: CapacityMetrics::new(redis.metrics(), &name),
            redis,
            local,
            replay,
            name,
            capacity,
        };
        Ok(SoftCapacity::from_inner(inner))
    }
}
