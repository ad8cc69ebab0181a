//! What a cache counts.

use super::answer::{Cached, Tier};
use crate::{
    health::Usage,
    store::Propagation,
    telemetry::{Counter, Metrics, names},
};

pub(super) struct CacheMetrics {
    hits: [Counter; 2],
    stale: [Counter; 3],
    misses: Counter,
    pub(super) sets: Counter,
    invalidations: [Counter; 2],
    pub(super) errors: Counter,
    pub(super) loads: Counter,
    pub(super) failed_loads: Counter,
}

/// A deletion, or an invalidation, that is under way.
pub(super) struct Invalidation<'a> {
    counters: &'a [Counter; 2],
    propagation: Propagation,
}

impl Invalidation<'_> {
    pub(super) fn ended(mut self, propagation: Propagation) -> Propagation {
        self.propagation = propagation;
        propagation
    }
}

impl Drop for Invalidation<'_> {
    fn drop(&mut self) {
        self.counters[usize::from(!self.propagation.is_propagated())].add(1);
    }
}

/// What a cache has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Values found fresh, in memory or in Redis.
    pub hits: u64,
    /// Values that were neither in memory nor in Redis.
    pub misses: u64,
    /// Values served after their time to live.
    pub stale: u64,
    /// Values stored: by `set`, or loaded.
    pub sets: u64,
    /// Deletions, and invalidations of tags, prefixes and the whole cache.
    pub deletes: u64,
    /// Failed loads, and values that could not be read or written.
    pub errors: u64,
    /// Entries in memory.
    pub entries: u64,
    /// Bytes that they are reckoned with.
    pub bytes: u64,
}

impl CacheStats {
    /// The share of hits, stale ones included, from 0 to 1; 0 before the first request.
    pub fn hit_rate(&self) -> f64 {
        let found = self.hits + self.stale;
        let asked = found + self.misses;
        if asked == 0 { 0.0 } else { found as f64 / asked as f64 }
    }
}

impl From<CacheStats> for Usage {
    fn from(stats: CacheStats) -> Self {
        Self {
            hits: stats.hits + stats.stale,
            misses: stats.misses,
            sets: stats.sets,
            deletes: stats.deletes,
            errors: stats.errors,
        }
    }
}

impl CacheMetrics {
    pub(super) fn new(metrics: &Metrics, cache: &str) -> Self {
        let asked = |result, tier: Tier| {
            let labels = [("cache", cache), ("result", result), ("tier", tier.as_str())];
            metrics.counter(names::CACHE_REQUESTS, &labels)
        };
        let loads = |outcome| {
            metrics.counter(names::CACHE_LOADS, &[("cache", cache), ("outcome", outcome)])
        };
        let invalidations = |outcome| {
            metrics.counter(names::CACHE_INVALIDATIONS, &[("cache", cache), ("outcome", outcome)])
        };
        Self {
            hits: [Tier::Memory, Tier::Redis].map(|tier| asked("hit", tier)),
            stale: [Tier::Memory, Tier::Redis, Tier::Loader].map(|tier| asked("stale", tier)),
            misses: asked("miss", Tier::Loader),
            sets: Counter::default(),
            invalidations: ["propagated", "pending"].map(invalidations),
            errors: Counter::default(),
            loads: loads("loaded"),
            failed_loads: loads("failed"),
        }
    }

    pub(super) fn answered<V>(&self, answer: &Cached<V>) {
        let counter = match (answer.freshness.is_stale(), answer.tier) {
            (false, Tier::Memory) => &self.hits[0],
            (false, Tier::Redis) => &self.hits[1],
            (false, Tier::Loader) => &self.misses,
            (true, tier) => &self.stale[tier as usize],
        };
        counter.add(1);
    }

    /// Counts one when it is dropped, also in the middle.
    pub(super) fn invalidation(&self) -> Invalidation<'_> {
        Invalidation { counters: &self.invalidations, propagation: Propagation::Pending }
    }

    pub(super) fn missed(&self) {
        self.misses.add(1);
    }

    pub(super) fn stats(&self) -> CacheStats {
        let sum = |counters: &[Counter]| counters.iter().map(Counter::value).sum();
        CacheStats {
            hits: sum(&self.hits),
            misses: self.misses.value(),
            stale: sum(&self.stale),
            sets: self.sets.value(),
            deletes: sum(&self.invalidations),
            errors: self.errors.value() + self.failed_loads.value(),
            entries: 0,
            bytes: 0,
        }
    }
}
