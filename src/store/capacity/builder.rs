//! What a capacity can be told before it is built.

use std::{sync::Arc, time::Duration};

use super::{
    backlog::Touched, follow::follow, gates::Gates, inner::Inner, metrics::CapacityMetrics,
    shared::Shared, sold_out::SoldOut, store::Capacity, truth::check_name,
};
use crate::{
    Error,
    redis::Redis,
    store::{
        replay::Replay,
        switch::{Needs, Switch},
    },
    telemetry::Feature,
};

/// Builds a [`Capacity`]; nothing is started before `build`.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct CapacityBuilder {
    redis: Redis,
    name: String,
    hold: Option<Duration>,
    timeout: Duration,
    lifetime: Duration,
    sold_out: Duration,
    max_sold_out: usize,
    max_touched: usize,
}

impl Capacity {
    /// A capacity of this name (1 to 64 letters, digits, `-` or `_`), with every setting at its
    /// default. Returns at once, Redis or no Redis. To be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for another name.
    pub fn new(redis: &Redis, name: &str) -> Result<Self, Error> {
        Self::builder(redis, name).build()
    }

    /// A capacity with settings of its own.
    pub fn builder(redis: &Redis, name: &str) -> CapacityBuilder {
        CapacityBuilder {
            redis: redis.clone(),
            name: name.to_owned(),
            hold: None,
            timeout: Duration::from_secs(5),
            lifetime: Duration::from_secs(60),
            sold_out: Duration::from_secs(1),
            max_sold_out: 10_000,
            max_touched: 10_000,
        }
    }
}

impl CapacityBuilder {
    /// How long a reservation holds its seats, unless it is released before. Handed to the
    /// database, which keeps the end and no longer counts what has ended. Default: for ever.
    ///
    /// The gate sees that a hold has ended at the next [reconciliation](Capacity::reconcile), or
    /// when its own [lifetime](Self::with_gate_lifetime) ends.
    pub fn with_hold(mut self, hold: Duration) -> Self {
        self.hold = Some(hold);
        self
    }

    /// How long the database may take. Afterwards it is not known what it has done. Default 5 s.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a gate is believed at most before the database is asked anew: so long it refuses
    /// too early where no reconciliation runs. Default 60 s; at least twice the
    /// [time-out](Self::with_timeout).
    pub fn with_gate_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// How long this instance remembers that an event is full, unless it hears of a release before.
    /// Default 1 s; zero: not at all.
    pub fn with_sold_out_for(mut self, time: Duration) -> Self {
        self.sold_out = time;
        self
    }

    /// Of how many events it remembers that. Default 10 000; beyond that the one that ends first is
    /// forgotten.
    pub fn with_max_sold_out(mut self, events: usize) -> Self {
        self.max_sold_out = events;
        self
    }

    /// How many events that were touched while Redis is away are remembered one by one. Beyond that
    /// all gates are given up when Redis is back. Default 10 000, at least 1.
    pub fn with_max_touched(mut self, events: usize) -> Self {
        self.max_touched = events;
        self
    }

    /// The capacity. Returns at once, Redis or no Redis. To be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// As [`Capacity::new`].
    pub fn build(self) -> Result<Capacity, Error> {
        let Self { redis, name, .. } = self;
        check_name(&name)?;
        let lifetime = self.lifetime.max(self.timeout.saturating_mul(2));
        let gates = Gates::new(&redis, &name, lifetime);
        let touched = Arc::new(Touched::new(gates, self.max_touched));
        let replay = Replay::new(&redis, Arc::downgrade(&touched));
        let shared = Arc::new(Shared {
            switch: Switch::new(&redis, Feature::Counter, Needs::Writes),
            sold_out: SoldOut::new(self.max_sold_out, self.sold_out),
            metrics: CapacityMetrics::new(redis.metrics(), &name),
            timeout: self.timeout,
            hold: self.hold,
            touched,
            redis: redis.clone(),
        });
        let follower = redis.spawn(follow(Arc::clone(&shared)));
        Ok(Capacity { inner: Arc::new(Inner { shared, replay, follower, name }) })
    }
}
