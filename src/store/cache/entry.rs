//! A value in memory, and what its life depends on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{generations::Generations, validated::Validated};

/// A value, or the knowledge that there is none. Times are microseconds of the cache's clock.
#[derive(Debug)]
pub(super) struct Entry<V> {
    pub(super) value: Option<V>,
    pub(super) tags: Arc<[Arc<str>]>,
    /// The local generation that it was begun under.
    pub(super) begun: u64,
    validated: Validated,
    fresh_until: AtomicU64,
    pub(super) stale_until: u64,
    pub(super) stored_at: u64,
    /// Microseconds that its load took.
    pub(super) load_time: u64,
    pub(super) weight: u64,
}

/// How long an entry is of use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) stored_at: u64,
    pub(super) fresh_until: u64,
    pub(super) stale_until: u64,
    pub(super) load_time: u64,
}

impl<V> Entry<V> {
    pub(super) fn new(
        value: Option<V>,
        tags: Arc<[Arc<str>]>,
        begun: u64,
        times: Times,
        weight: u64,
    ) -> Self {
        Self {
            value,
            tags,
            begun,
            validated: Validated::never(),
            fresh_until: AtomicU64::new(times.fresh_until),
            stale_until: times.stale_until,
            stored_at: times.stored_at,
            load_time: times.load_time,
            weight,
        }
    }

    #[inline]
    pub(super) fn fresh_until(&self) -> u64 {
        self.fresh_until.load(Ordering::Relaxed)
    }

    /// From now on it is served only where nothing better can be had.
    pub(super) fn expire(&self, now: u64) {
        self.fresh_until.fetch_min(now, Ordering::Relaxed);
    }

    /// Nothing that it belongs to was invalidated since it was begun.
    #[inline]
    pub(super) fn is_valid(&self, key: &str, generations: &Generations) -> bool {
        let version = generations.version();
        let look_up = || generations.is_valid(key, &self.tags, self.begun);
        self.validated.check(version, look_up)
    }
}
