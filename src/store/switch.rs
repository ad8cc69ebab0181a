//! The one place where Redis or something else is chosen.

use std::future::Future;

use crate::{
    Error, Served, Source,
    health::HealthMonitor,
    redis::Redis,
    telemetry::{Counter, names},
};

/// Asks Redis, and something else when Redis does not serve. One for each feature: it counts
/// what that feature answers without Redis.
#[derive(Clone)]
pub(crate) struct Switch {
    monitor: HealthMonitor,
    fallbacks: Counter,
}

impl Switch {
    /// `feature` is one of the words of `redis_fallback_hits_total`.
    pub(crate) fn new(redis: &Redis, feature: &'static str) -> Self {
        let fallbacks = redis.metrics().counter(names::FALLBACK_HITS, &[("feature", feature)]);
        Self { monitor: redis.monitor().clone(), fallbacks }
    }

    /// Reads and writes work: Redis is worth asking.
    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        self.monitor.is_available()
    }

    /// What Redis says, or else what `instead` says. An error is about the command, never about Redis being away.
    pub(crate) async fn ask<T>(
        &self,
        redis: impl Future<Output = Result<T, Error>>,
        instead: impl FnOnce() -> T,
    ) -> Result<Served<T>, Error> {
        match redis.await {
            Ok(value) => Ok(Served::new(value, Source::Redis)),
            Err(error) if error.is_unavailable() => Ok(self.without(instead())),
            Err(error) => Err(error),
        }
    }

    /// An answer that memory gave.
    pub(crate) fn without<T>(&self, value: T) -> Served<T> {
        self.fell_back();
        Served::new(value, Source::Memory)
    }

    /// Memory has answered.
    #[inline]
    pub(crate) fn fell_back(&self) {
        self.fallbacks.add(1);
        self.monitor.record_fallback();
    }
}
