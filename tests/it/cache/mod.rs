//! The cache, with several instances, a real server, the wire between them, and a database that
//! can be slow, wrong or held.

mod batch;
mod cluster;
mod eviction;
mod gateway;
mod history;
mod input;
mod invalidation;
mod loading;
mod outage;
mod races;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use evenkeel::{
    redis::Redis,
    store::cache::{Cache, CacheBuilder, Cached, LoadError, Tier},
    telemetry::Metrics,
};
use tokio::{sync::Semaphore, time::sleep};

use crate::{
    guards::{PATIENCE, available, away, quick},
    support::{self, eventually},
};

/// Longer than any test: what ends in a test was ended by it.
pub(crate) const LONG: Duration = Duration::from_secs(600);

pub(crate) struct Instance {
    pub(crate) redis: Redis,
    pub(crate) items: Cache<u64>,
    pub(crate) metrics: Metrics,
}

/// Values that live for the whole test, and loads that nothing hurries.
pub(crate) fn patient(builder: CacheBuilder<u64>) -> CacheBuilder<u64> {
    builder
        .with_ttl(LONG)
        .with_ttl_without_redis(LONG)
        .with_jitter(0.0)
        .with_early_refresh(0.0)
        .with_soft_timeout(PATIENCE)
        .with_hard_timeout(PATIENCE)
}

impl Instance {
    pub(crate) fn at(url: &str) -> Self {
        Self::with(url, patient)
    }

    pub(crate) fn with(
        url: &str,
        set: impl FnOnce(CacheBuilder<u64>) -> CacheBuilder<u64>,
    ) -> Self {
        Self::named(url, "items", set)
    }

    pub(crate) fn named(
        url: &str,
        name: &str,
        set: impl FnOnce(CacheBuilder<u64>) -> CacheBuilder<u64>,
    ) -> Self {
        let metrics = Metrics::prometheus("test", "a");
        let redis = Redis::new(quick(url, &metrics)).unwrap();
        let items = set(Cache::builder(&redis, name)).build().unwrap();
        Self { redis, items, metrics }
    }

    pub(crate) async fn ready(self) -> Self {
        available(&self.redis).await;
        self.in_step().await;
        self
    }

    pub(crate) async fn in_step(&self) {
        let in_step = || async { self.items.is_in_step() };
        assert!(eventually(PATIENCE, in_step).await, "not in step");
    }

    pub(crate) async fn away(&self) {
        away(&self.redis).await;
    }

    pub(crate) async fn read(
        &self,
        database: &Database,
        key: &str,
    ) -> Result<Cached<Option<u64>>, LoadError> {
        self.items.get_or_load(key, || database.clone().read(key.to_owned())).await
    }

    /// What is read, and from where.
    pub(crate) async fn reads(&self, database: &Database, key: &str) -> (Option<u64>, Tier) {
        let cached = self.read(database, key).await.unwrap();
        (cached.value, cached.tier)
    }
}

/// The truth.
#[derive(Clone, Default)]
pub(crate) struct Database(Arc<State>);

#[derive(Default)]
struct State {
    rows: Mutex<HashMap<String, u64>>,
    loads: AtomicUsize,
    fails: AtomicBool,
    panics: AtomicBool,
    /// Milliseconds that a read takes after it has read.
    delay: AtomicUsize,
    /// Reads wait here after they have read.
    hold: Mutex<Option<Arc<Semaphore>>>,
}

impl Database {
    pub(crate) fn with(rows: &[(&str, u64)]) -> Self {
        let database = Self::default();
        for (key, value) in rows {
            database.write(key, *value);
        }
        database
    }

    pub(crate) fn write(&self, key: &str, value: u64) {
        self.0.rows.lock().unwrap().insert(key.to_owned(), value);
    }

    pub(crate) fn loads(&self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.0.fails.store(fails, Ordering::SeqCst);
    }

    pub(crate) fn panic(&self, panics: bool) {
        self.0.panics.store(panics, Ordering::SeqCst);
    }

    pub(crate) fn take(&self, delay: Duration) {
        self.0.delay.store(delay.as_millis() as usize, Ordering::SeqCst);
    }

    /// Reads that have read wait from now on until the semaphore has permits.
    pub(crate) fn hold(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.0.hold.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    /// Reads that begin now do not wait.
    pub(crate) fn let_pass(&self) {
        *self.0.hold.lock().unwrap() = None;
    }

    pub(crate) async fn read(self, key: String) -> Result<Option<u64>, io::Error> {
        let value = self.0.rows.lock().unwrap().get(&key).copied();
        let gate = self.0.hold.lock().unwrap().clone();
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        assert!(!self.0.panics.load(Ordering::SeqCst), "the loader panics, as it is told");
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        sleep(Duration::from_millis(self.0.delay.load(Ordering::SeqCst) as u64)).await;
        if self.0.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the database is down"));
        }
        Ok(value)
    }
}

/// So many loads have begun.
pub(crate) async fn loading(database: &Database, loads: usize) {
    assert!(eventually(PATIENCE, || async { database.loads() >= loads }).await, "no load begins");
}
