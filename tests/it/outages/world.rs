//! A server, the proxy in front of it, a handle on it, and the application on top.

use std::time::Duration;

use axum::Router;
use evenkeel::{
    health::{HealthConfig, HealthMonitor, State, Transition, Transitions},
    redis::{Redis, RedisConfig},
    telemetry::Metrics,
};

use super::{
    LONG, app,
    support::{FaultProxy, LogCapture, RedisServer, eventually},
};

pub(crate) struct World {
    pub(crate) server: RedisServer,
    pub(crate) proxy: FaultProxy,
    pub(crate) redis: Redis,
    pub(crate) app: Router,
    pub(crate) logs: LogCapture,
    transitions: Transitions,
    history: Vec<Transition>,
}

/// The defaults, but for a shorter verification and a shorter idle interval: tests are to be short.
/// What is promised under traffic depends on neither.
pub(crate) fn health() -> HealthConfig {
    HealthConfig::new("redis")
        .with_probe_timeout(Duration::from_millis(600))
        .with_probe_interval(Duration::from_secs(1))
}

/// A handle alone, on whatever is at `url`.
pub(crate) fn handle(url: &str) -> Redis {
    Redis::new(RedisConfig::new(url.parse().unwrap()).with_health(health())).unwrap()
}

impl World {
    /// Redis is there, and in use.
    pub(crate) async fn up() -> Self {
        Self::up_with(RedisServer::start().await, |config| config).await
    }

    pub(crate) async fn up_with(
        server: RedisServer,
        settings: impl FnOnce(RedisConfig) -> RedisConfig,
    ) -> Self {
        let world = Self::begin(server, settings).await;
        assert!(world.monitor().wait_available(LONG).await, "{:?}", world.monitor());
        world
    }

    /// Whatever the server does.
    pub(crate) async fn begin(
        server: RedisServer,
        settings: impl FnOnce(RedisConfig) -> RedisConfig,
    ) -> Self {
        let proxy = FaultProxy::in_front_of(&server).await;
        Self::behind(server, proxy, settings)
    }

    pub(crate) fn behind(
        server: RedisServer,
        proxy: FaultProxy,
        settings: impl FnOnce(RedisConfig) -> RedisConfig,
    ) -> Self {
        let logs = LogCapture::start();
        let metrics = Metrics::prometheus("outages", "test");
        let config = RedisConfig::new(proxy.url().parse().unwrap())
            .with_health(health())
            .with_metrics(metrics.clone());
        let redis = Redis::new(settings(config)).unwrap();
        let app = app::router(&redis, &metrics);
        let transitions = redis.monitor().transitions();
        Self { server, proxy, redis, app, logs, transitions, history: Vec::new() }
    }

    pub(crate) fn monitor(&self) -> &HealthMonitor {
        self.redis.monitor()
    }

    pub(crate) fn op_timeout(&self) -> Duration {
        Duration::from_millis(100)
    }

    /// `class: code` of the newest fault.
    pub(crate) fn last_fault(&self) -> String {
        let last = self.monitor().status().last_fault;
        last.map(|(fault, _)| fault.to_string()).unwrap_or_default()
    }

    /// Waits until the state is this.
    pub(crate) async fn reaches(&self, state: State) {
        let reached = eventually(LONG, || async { self.monitor().state() == state }).await;
        assert!(reached, "never {state:?}: {:?}", self.monitor());
    }

    /// Waits until this holds of the monitor.
    pub(crate) async fn becomes(&self, what: &str, holds: impl Fn(&HealthMonitor) -> bool) {
        let reached = eventually(LONG, || async { holds(self.monitor()) }).await;
        assert!(reached, "never {what}: {:?}", self.monitor());
    }

    /// Every transition so far, as state and writes.
    pub(crate) fn history(&mut self) -> Vec<(State, bool)> {
        use futures_util::{FutureExt, StreamExt};
        while let Some(Some(transition)) = self.transitions.next().now_or_never() {
            self.history.push(transition);
        }
        self.history.iter().map(|t| (t.status.state, t.status.writes)).collect()
    }

    /// What an operator reads about the state: one line for each transition, none besides.
    pub(crate) fn assert_one_line_a_transition(&mut self) {
        let transitions = self.history().len();
        let lines = self.logs.at_least(tracing::Level::INFO);
        let about_state: Vec<_> =
            lines.iter().filter(|line| line.target.starts_with("evenkeel::health")).collect();
        assert_eq!(about_state.len(), transitions, "{about_state:#?} {:?}", self.history());
    }

    /// The value of one series in `/metrics`.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> f64 {
        let (_, text) = app::ask(&self.app, "/metrics").await;
        let line = text.lines().find(|line| line.starts_with(name) && line.contains(labels));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("{name} {labels} is not in {text}"))
    }

    /// Probes so far, whatever came of them.
    pub(crate) async fn probes(&self) -> f64 {
        let mut sum = 0.0;
        for status in ["success", "failed", "timeout"] {
            sum += self.metric("redis_health_check_total", &format!("status=\"{status}\"")).await;
        }
        sum
    }
}

/// A connection that was there before: what is set later does not turn it away.
pub(crate) struct Operator(redis::aio::MultiplexedConnection);

impl Operator {
    pub(crate) async fn of(server: &RedisServer) -> Self {
        Self(server.connect().await.unwrap())
    }

    pub(crate) async fn tell(&self, words: &[&str]) {
        let mut connection = self.0.clone();
        let command = redis::cmd(words[0]).arg(&words[1..]).to_owned();
        let _: redis::Value = command.query_async(&mut connection).await.unwrap();
    }
}
