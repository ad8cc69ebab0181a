//! Counts what goes through the handle: durations by command and outcome, and the health page's
//! figures.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use deadpool_redis::redis::Value;
use parking_lot::RwLock;

use super::{commands::Command, conn::Reply};
use crate::{
    health::Usage,
    telemetry::{Counter, Histogram, Metrics, names},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    Error,
    Timeout,
    Skipped,
}

const OUTCOMES: usize = 4;

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Skipped => "skipped",
        }
    }
}

pub(super) struct CommandMetrics {
    metrics: Metrics,
    /// Made when first needed: most services use few commands.
    durations: Box<[OnceLock<Histogram>]>,
    pub(super) connected: Counter,
    pub(super) not_connected: Counter,
    /// Not connected, because the server does not accept us: waiting does not mend that.
    pub(super) not_accepted: Counter,
    hits: AtomicU64,
    misses: AtomicU64,
    sets: AtomicU64,
    deletes: AtomicU64,
    errors: AtomicU64,
    /// Caches over this handle: where there are any, the health page shows theirs.
    caches: RwLock<Vec<CacheUsage>>,
}

/// What a cache has done; `None` when it is gone.
pub(crate) type CacheUsage = Box<dyn Fn() -> Option<Usage> + Send + Sync>;

impl CommandMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let attempts = |status| metrics.counter(names::CONNECTION_ATTEMPTS, &[("status", status)]);
        Self {
            metrics: metrics.clone(),
            durations: (0..Command::COUNT * OUTCOMES).map(|_| OnceLock::new()).collect(),
            connected: attempts("success"),
            not_connected: attempts("failed"),
            not_accepted: attempts("credentials"),
            hits: 0.into(),
            misses: 0.into(),
            sets: 0.into(),
            deletes: 0.into(),
            errors: 0.into(),
            caches: RwLock::default(),
        }
    }

    pub(super) fn add_cache(&self, usage: CacheUsage) {
        let mut caches = self.caches.write();
        caches.retain(|cache| cache().is_some());
        caches.push(usage);
    }

    pub(super) fn record(&self, command: Command, outcome: Outcome, took: Duration) {
        if let Some(histogram) = self.durations.get(command.index() * OUTCOMES + outcome as usize) {
            let labels = [("command", command.label()), ("outcome", outcome.as_str())];
            histogram
                .get_or_init(|| self.metrics.histogram(names::COMMAND_DURATION, &labels))
                .record(took);
        }
        if matches!(outcome, Outcome::Error | Outcome::Timeout) {
            self.errors.fetch_add(1, Relaxed);
        }
    }

    /// Counts what the health page shows.
    pub(super) fn answered(&self, command: Command, reply: &Reply) {
        let Reply::One(value) = reply else { return };
        let count = match command.label() {
            "GET" | "HGET" | "GETEX" | "GETDEL" => match value {
                Value::Nil => &self.misses,
                _ => &self.hits,
            },
            "SET" | "SETEX" | "PSETEX" | "SETNX" | "HSET" | "GETSET" => &self.sets,
            "DEL" | "UNLINK" | "HDEL" => &self.deletes,
            _ => return,
        };
        count.fetch_add(1, Relaxed);
    }

    /// Of the caches over this handle, or else of the plain commands.
    pub(super) fn usage(&self) -> Usage {
        let of_caches = self.caches.read().iter().filter_map(|cache| cache()).reduce(sum);
        of_caches.unwrap_or_else(|| self.usage_of_commands())
    }

    fn usage_of_commands(&self) -> Usage {
        Usage {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            sets: self.sets.load(Relaxed),
            deletes: self.deletes.load(Relaxed),
            errors: self.errors.load(Relaxed),
        }
    }
}

fn sum(one: Usage, other: Usage) -> Usage {
    Usage {
        hits: one.hits + other.hits,
        misses: one.misses + other.misses,
        sets: one.sets + other.sets,
        deletes: one.deletes + other.deletes,
        errors: one.errors + other.errors,
    }
}
