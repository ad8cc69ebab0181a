//! The rate limit against real servers that are stopped, hung, cut off and emptied.

mod addresses;
mod contract;
mod gateway;
mod layer;
mod leases;
mod limits_example;
mod outage;
mod recovery;
mod redis;
mod sharing;
mod stacks;

use std::time::{Duration, Instant};

use evenkeel::{
    health::{Backoff, HealthConfig},
    health_router::HealthRouter,
    redis::{Redis, RedisConfig},
    store::rate::{Quota, RateLimiter, RatePolicy, RateVerdict, Subject},
    telemetry::Metrics,
};
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Empty};
use tower::ServiceExt;

use crate::support::{self, eventually};

/// Long enough for a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One process of a service, with a handle, a limiter and metrics of its own.
pub(crate) struct Instance {
    pub(crate) redis: Redis,
    pub(crate) limiter: RateLimiter,
    metrics: Metrics,
}

/// Patient with answers, quick with everything else.
pub(crate) fn settings(url: &str) -> RedisConfig {
    let health = HealthConfig::new("redis")
        .with_op_timeout(Duration::from_secs(1))
        .with_probe_interval(Duration::from_millis(300))
        .with_backoff(Backoff::new(Duration::from_millis(30), Duration::from_millis(60)));
    RedisConfig::new(url.parse().unwrap()).with_health(health)
}

impl Instance {
    /// Does not wait for anything.
    pub(crate) fn new(url: &str) -> Self {
        let metrics = Metrics::prometheus("test", "one");
        let redis = Redis::new(settings(url).with_metrics(metrics.clone())).unwrap();
        let limiter = RateLimiter::new(&redis);
        Self { redis, limiter, metrics }
    }

    pub(crate) async fn up(url: &str) -> Self {
        let instance = Self::new(url);
        instance.is_up().await;
        instance
    }

    /// So many, all up and aware of each other.
    pub(crate) async fn fleet(url: &str, size: u32) -> Vec<Self> {
        let fleet: Vec<Self> = (0..size).map(|_| Self::new(url)).collect();
        let known = eventually(PATIENCE, || async {
            fleet.iter().all(|one| one.limiter.instances().get() == size)
        });
        assert!(known.await, "{:?}", fleet.iter().map(|one| &one.limiter).collect::<Vec<_>>());
        fleet
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

    pub(crate) async fn ask(&self, policy: &RatePolicy, who: &str) -> RateVerdict {
        self.limiter.decide(policy, &Subject::text(who), 1).await
    }

    /// What is left of the limit, without spending any of it.
    pub(crate) async fn left(&self, policy: &RatePolicy, who: &str) -> u32 {
        self.limiter.decide(policy, &Subject::text(who), 0).await.remaining()
    }

    /// Asks until refused; how many were admitted?
    pub(crate) async fn exhaust(&self, policy: &RatePolicy, who: &str) -> u32 {
        let mut admitted = 0;
        while self.ask(policy, who).await.allowed() {
            admitted += 1;
            assert!(admitted < 100_000, "there is no limit");
        }
        admitted
    }

    /// The value of a series of `/metrics`.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> Option<u64> {
        let router = HealthRouter::new(self.redis.monitor()).with_metrics(&self.metrics);
        let request = Request::get("/metrics").body(Empty::<bytes::Bytes>::new()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let line = text.lines().find(|line| {
            line.starts_with(name) && labels.iter().all(|label| line.contains(label))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    }

    pub(crate) async fn replayed(&self, outcome: &str) -> u64 {
        let outcome = format!("outcome=\"{outcome}\"");
        let labels = ["feature=\"rate_limit\"", &outcome];
        self.metric("redis_recovery_replayed_total", &labels).await.expect("listed from the start")
    }
}

/// A limit that gives nothing back while a test runs.
pub(crate) fn slow(count: u32) -> RatePolicy {
    RatePolicy::from(Quota::per_day(count))
}

pub(crate) async fn all_up(fleet: &[Instance]) {
    join_all(fleet.iter().map(Instance::is_up)).await;
}

pub(crate) async fn all_down(fleet: &[Instance]) {
    join_all(fleet.iter().map(Instance::is_down)).await;
}

/// Asks at every instance in turn until all refuse.
pub(crate) async fn exhaust_all(fleet: &[Instance], policy: &RatePolicy, who: &str) -> u32 {
    join_all(fleet.iter().map(|one| one.exhaust(policy, who))).await.into_iter().sum()
}

/// How long something took.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    (work.await, began.elapsed())
}
