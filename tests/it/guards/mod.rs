//! What guards, through outages: two instances, a real server, and the wire between them.

pub(crate) mod eviction;
pub(crate) mod gateway;
mod gateway_input;
mod layer;
mod lockout;
mod lockout_abandoned;
mod lockout_contract;
mod lockout_outage;
mod lockout_script;
mod revocation;
mod revocation_follow;
mod revocation_input;
mod revocation_loss;
mod revocation_restart;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use evenkeel::{
    Error, ErrorKind,
    health::{Backoff, State},
    redis::{Redis, RedisConfig},
    store::{
        Journal, JournalRecord,
        revocation::{RevocationStatus, Revocations, RevocationsBuilder, Token, UnknownPolicy},
    },
    telemetry::Metrics,
};

use crate::support::{self, RedisServer, eventually};

/// Longer than anything takes on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Settings that find an outage and its end soon, and no outage where a busy machine is slow.
pub(crate) fn quick(url: &str, metrics: &Metrics) -> RedisConfig {
    let config = RedisConfig::new(url.parse().unwrap());
    let health = config
        .health()
        .clone()
        .with_op_timeout(Duration::from_millis(500))
        .with_probe_interval(Duration::from_millis(200))
        .with_backoff(Backoff::new(Duration::from_millis(50), Duration::from_millis(200)));
    config.with_health(health).with_metrics(metrics.clone())
}

pub(crate) async fn available(redis: &Redis) {
    assert!(redis.monitor().wait_available(PATIENCE).await, "Redis is not available");
}

pub(crate) async fn away(redis: &Redis) {
    let monitor = redis.monitor();
    // Not only suspect: an outage, which ends with a recovery.
    let gone = || async { !monitor.can_read() && monitor.state() != State::Suspect };
    let gone = eventually(PATIENCE, gone).await;
    assert!(gone, "the outage was not noticed");
}

/// A gateway's worth of state: a handle and its revocations.
pub(crate) struct Instance {
    pub(crate) redis: Redis,
    pub(crate) revocations: Revocations,
    pub(crate) metrics: Metrics,
}

impl Instance {
    pub(crate) fn at(url: &str) -> Self {
        Self::with(url, |builder| builder)
    }

    pub(crate) fn with(
        url: &str,
        set: impl FnOnce(RevocationsBuilder) -> RevocationsBuilder,
    ) -> Self {
        let metrics = Metrics::prometheus("test", "a");
        let redis = Redis::new(quick(url, &metrics)).unwrap();
        let revocations = set(Revocations::builder(&redis)).build();
        Self { redis, revocations, metrics }
    }

    pub(crate) async fn with_journal(url: &str, journal: &Disk) -> Self {
        let metrics = Metrics::prometheus("test", "a");
        let redis = Redis::new(quick(url, &metrics)).unwrap();
        let builder = Revocations::builder(&redis).with_journal(journal.clone());
        let revocations = builder.build().await.unwrap();
        Self { redis, revocations, metrics }
    }

    /// Waits until Redis is there and everything is known.
    pub(crate) async fn ready(self) -> Self {
        available(&self.redis).await;
        self.in_step().await;
        self
    }

    pub(crate) async fn in_step(&self) {
        let in_step = || async { self.revocations.is_in_step() };
        assert!(eventually(PATIENCE, in_step).await, "not in step: {:?}", self.revocations);
    }

    pub(crate) async fn status(&self, token: &Token) -> RevocationStatus {
        self.revocations.check(token).await.status
    }

    /// Waits until so many revocations are known here.
    pub(crate) async fn knows(&self, count: usize) {
        let knows = || async { self.revocations.len() >= count };
        assert!(eventually(PATIENCE, knows).await, "{:?}", self.revocations);
    }

    pub(crate) async fn away(&self) {
        away(&self.redis).await;
    }

    pub(crate) async fn available(&self) {
        available(&self.redis).await;
    }

    /// The process ends.
    pub(crate) async fn stop(self) {
        self.redis.shutdown().await;
    }

    /// A line of the metrics.
    pub(crate) fn metric(&self, name_and_labels: &[&str]) -> u64 {
        metric(&self.metrics, name_and_labels)
    }
}

/// The value of the line that holds all these words.
pub(crate) fn metric(metrics: &Metrics, words: &[&str]) -> u64 {
    let text = metrics.render();
    let line = text
        .lines()
        .find(|line| !line.starts_with('#') && words.iter().all(|word| line.contains(word)));
    let value = line.and_then(|line| line.rsplit(' ').next()).unwrap_or("0");
    value.parse::<f64>().unwrap() as u64
}

pub(crate) fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

/// The commands of this name that the server has carried out.
pub(crate) async fn commands(server: &RedisServer, name: &str) -> u64 {
    server.commands_processed(name).await
}

/// A disk that outlives the instances of one test.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    records: Arc<Mutex<BTreeMap<(String, String), JournalRecord>>>,
    broken: Arc<std::sync::atomic::AtomicBool>,
}

impl Disk {
    pub(crate) fn break_down(&self) {
        self.broken.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), Error> {
        if self.broken.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Command, "the disk is broken"));
        }
        Ok(())
    }
}

impl Journal for Disk {
    async fn save(&self, record: JournalRecord) -> Result<(), Error> {
        self.check()?;
        let key = (record.feature.clone(), record.key.clone());
        self.records.lock().unwrap().insert(key, record);
        Ok(())
    }

    async fn load(&self, feature: &'static str) -> Result<Vec<JournalRecord>, Error> {
        self.check()?;
        let records = self.records.lock().unwrap();
        Ok(records.values().filter(|record| record.feature == feature).cloned().collect())
    }
}

pub(crate) fn open(builder: RevocationsBuilder) -> RevocationsBuilder {
    builder.with_unknown_policy(UnknownPolicy::Open)
}
