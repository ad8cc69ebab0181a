//! The one place where Redis or memory is chosen.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    Error, Served, Source,
    health::HealthMonitor,
    redis::Redis,
    telemetry::{Counter, Feature},
    units::ttl_millis,
};

/// An error about commands is told in the log once in so long.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What a feature needs of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Reads are enough: it goes on while Redis takes no writes.
    Reads,
    /// Reads and writes.
    Writes,
}

/// What is to be done about one question.
#[derive(Debug)]
pub enum Step<T, F> {
    /// Answered without asking anybody.
    Decided(T),
    /// The answer of this future.
    Ask(F),
}

/// Chooses who answers: Redis while it serves, memory otherwise. One for each feature; it counts
/// what that feature answers without Redis.
///
/// | the question | Redis serves | it does not | it fails under way |
/// | --- | --- | --- | --- |
/// | [`ask`](Self::ask) | Redis | memory | memory, whatever the error |
/// | [`try_ask`](Self::try_ask) | Redis | memory | memory; an error of the command itself is the caller's |
/// | [`redis`](Self::redis) | Redis | the error | the error: the caller decides, and says so with [`answer_from_memory`](Self::answer_from_memory) |
#[derive(Debug)]
pub(crate) struct Switch {
    monitor: HealthMonitor,
    needs: Needs,
    feature: Feature,
    fallbacks: Counter,
    /// When an error about commands was last told in the log: milliseconds since `started`, 0 for
    /// never.
    logged: AtomicU64,
    started: Instant,
}

impl Switch {
    pub(crate) fn new(redis: &Redis, feature: Feature, needs: Needs) -> Self {
        Self {
            monitor: redis.monitor().clone(),
            needs,
            feature,
            fallbacks: feature.fallback_hits(redis.metrics()),
            logged: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// Redis serves what this feature needs: it is worth asking.
    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        match self.needs {
            Needs::Reads => self.monitor.can_read(),
            Needs::Writes => self.monitor.is_available(),
        }
    }

    /// Memory's answer at once while Redis is away; else the future that asks Redis.
    #[inline]
    pub(crate) fn step<T, F>(
        &self,
        ask: impl FnOnce() -> F,
        memory: impl FnOnce() -> T,
    ) -> Step<Served<T>, F> {
        if self.is_up() {
            Step::Ask(ask())
        } else {
            Step::Decided(self.answer_from_memory(memory()))
        }
    }

    /// What Redis says, or else what memory says: always an answer. An error about the command is
    /// told in the log once in a while.
    pub(crate) async fn ask<T>(
        &self,
        redis: impl Future<Output = Result<T, Error>>,
        memory: impl FnOnce() -> T,
    ) -> Served<T> {
        match self.redis(redis).await {
            Ok(value) => Served::new(value, Source::Redis),
            Err(error) => {
                self.log(&error);
                self.answer_from_memory(memory())
            }
        }
    }

    /// What Redis says, or else what memory says.
    ///
    /// # Errors
    ///
    /// About the command, never about Redis being away.
    pub(crate) async fn try_ask<T>(
        &self,
        redis: impl Future<Output = Result<T, Error>>,
        memory: impl FnOnce() -> T,
    ) -> Result<Served<T>, Error> {
        match self.redis(redis).await {
            Ok(value) => Ok(Served::new(value, Source::Redis)),
            Err(error) if error.is_unavailable() => Ok(self.answer_from_memory(memory())),
            Err(error) => Err(error),
        }
    }

    /// What Redis says, without I/O while it is away.
    ///
    /// # Errors
    ///
    /// Why there is no answer. Nothing is counted: an answer without Redis may follow or not.
    pub(crate) async fn redis<T>(
        &self,
        redis: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if self.is_up() {
            return redis.await;
        }
        self.monitor.request_probe();
        Err(self.monitor.unavailable())
    }

    /// An answer that memory gives, counted.
    #[inline]
    pub(crate) fn answer_from_memory<T>(&self, value: T) -> Served<T> {
        self.record_fallback();
        Served::new(value, Source::Memory)
    }

    /// Memory has answered.
    #[inline]
    pub(crate) fn record_fallback(&self) {
        self.fallbacks.add(1);
        self.monitor.record_fallback();
    }

    /// That Redis is away has a log line of its own; that it refuses the command has not.
    pub(crate) fn log(&self, error: &Error) {
        if error.is_unavailable() {
            return;
        }
        let now = ttl_millis(self.started.elapsed());
        let last = self.logged.load(Ordering::Relaxed);
        let is_due = last == 0 || now - last.min(now) >= LOG_INTERVAL.as_millis() as u64;
        if is_due
            && self.logged.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let feature = self.feature.as_str();
            tracing::warn!(feature, %error, "Redis refuses the command: memory decides");
        }
    }
}
