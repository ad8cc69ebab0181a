//! The concurrency limit against real servers that are stopped, hung, cut off and emptied.

mod contract;
mod layer;
mod outage;
mod redis;

use std::time::Duration;

use evenkeel::{
    health::{Backoff, HealthConfig},
    redis::{Redis, RedisConfig},
    store::{
        concurrency::{Busy, ConcurrencyLimiter, InFlight, Permit},
        rate::Subject,
    },
};
use tokio::time::{Instant, sleep};

use crate::support::{self, eventually};

/// Long enough for a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than any test.
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// One process of a service.
pub(crate) struct Instance {
    pub(crate) redis: Redis,
    pub(crate) limiter: ConcurrencyLimiter,
}

impl Instance {
    /// Does not wait for anything.
    pub(crate) fn new(url: &str, limit: InFlight) -> Self {
        let health = HealthConfig::new("redis")
            .with_op_timeout(Duration::from_secs(1))
            .with_probe_interval(Duration::from_millis(300))
            .with_backoff(Backoff::new(Duration::from_millis(30), Duration::from_millis(60)));
        let redis = Redis::new(RedisConfig::new(url.parse().unwrap()).with_health(health)).unwrap();
        let limiter = ConcurrencyLimiter::new(&redis, limit);
        Self { redis, limiter }
    }

    pub(crate) async fn up(url: &str, limit: InFlight) -> Self {
        let instance = Self::new(url, limit);
        instance.is_up().await;
        instance
    }

    /// Two that know of each other.
    pub(crate) async fn two(urls: [&str; 2], limit: &InFlight) -> [Self; 2] {
        let two = urls.map(|url| Self::new(url, limit.clone()));
        let known = eventually(PATIENCE, || async {
            two.iter().all(|one| one.limiter.instances().get() == 2)
        });
        assert!(known.await, "{:?}", two[0].limiter);
        two
    }

    pub(crate) async fn is_up(&self) {
        assert!(self.redis.monitor().wait_available(PATIENCE).await, "{:?}", self.redis);
    }

    pub(crate) async fn is_down(&self) {
        let down = eventually(PATIENCE, || async {
            self.redis.monitor().request_probe();
            !self.redis.monitor().is_available()
        });
        assert!(down.await, "{:?}", self.redis);
    }

    pub(crate) async fn acquire(&self, who: &str) -> Result<Permit, Busy> {
        self.limiter.acquire(&Subject::text(who)).await
    }

    /// Asks until admitted.
    pub(crate) async fn admitted(&self, who: &str) -> Permit {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.acquire(who).await {
                Ok(permit) => return permit,
                Err(busy) => assert!(Instant::now() < until, "{busy}"),
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks until refused.
    pub(crate) async fn exhaust(&self, who: &str) -> Vec<Permit> {
        let mut permits = Vec::new();
        while let Ok(permit) = self.acquire(who).await {
            permits.push(permit);
            assert!(permits.len() < 1_000, "there is no limit");
        }
        permits
    }
}
