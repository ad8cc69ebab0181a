//! What a rate limiter can be told before it is built.

use std::num::NonZeroU32;

use super::limiter::{RateLimiter, Settings};
use crate::redis::Redis;

impl RateLimiter {
    /// A limiter with settings, and therefore with a table in memory, of its own.
    ///
    /// ```no_run
    /// # use evenkeel::{redis::Redis, store::rate::RateLimiter};
    /// # fn demo(redis: &Redis) {
    /// let limiter = RateLimiter::builder(redis).with_capacity(1_000_000).build();
    /// # }
    /// ```
    pub fn builder(redis: &Redis) -> RateLimiterBuilder {
        RateLimiterBuilder { redis: redis.clone(), settings: Settings::default() }
    }
}

/// Builds a [`RateLimiter`]; nothing is started before [`build`](Self::build).
#[derive(Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct RateLimiterBuilder {
    redis: Redis,
    settings: Settings,
}

impl RateLimiterBuilder {
    /// How many subjects are held in memory at most: for the deny cache, and while Redis is away.
    /// When all of them are being refused, newcomers share one bucket. Default: 100 000, at least
    /// 1.
    pub fn with_capacity(mut self, subjects: usize) -> Self {
        self.settings.capacity = subjects;
        self
    }

    /// Divides the limit by this number while Redis is away, whatever the heartbeats say: for a
    /// fleet of a known size, or with a load balancer that sends a client always to the same
    /// instance (then 1). Default: as many as are alive.
    pub fn with_instances(mut self, instances: NonZeroU32) -> Self {
        self.settings.members.fixed = Some(instances);
        self
    }

    /// How many instances to reckon with until heartbeats have been heard for long enough to know
    /// better (three probe intervals). Default: 1, this one alone.
    pub fn with_expected_instances(mut self, instances: NonZeroU32) -> Self {
        self.settings.members.expected = instances;
        self
    }

    /// Takes up to this many cells of a subject from Redis in one trip and spends them here: many
    /// decisions for one round trip, for subjects that ask very often. Default: none, each decision
    /// asks Redis.
    ///
    /// Never admits more than the limit, in any span of time. What it costs: an instance may hold
    /// cells that another one could use. What is not spent goes back after half a second, and
    /// leases get smaller as the limit comes near (at most what is left, divided by twice the
    /// number of instances). Cells that are held wear off at the rate of the limit, so a lease
    /// serves a client well that asks at a good part of that rate, and is of no use to others.
    pub fn with_leases(mut self, cells: NonZeroU32) -> Self {
        self.settings.lease = Some(cells);
        self
    }

    /// The limiter. Never waits for Redis.
    #[must_use]
    pub fn build(self) -> RateLimiter {
        RateLimiter::with_settings(&self.redis, self.settings)
    }
}
