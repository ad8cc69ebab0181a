//! What a cache answers: the value, where it comes from, how fresh it is, and what the cache has to
//! do without.

use std::time::Duration;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// This process' memory.
    Memory,
    /// Redis.
    Redis,
    /// The loader, which reads the application's database.
    Loader,
}

impl Tier {
    /// The word on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Loader => "database",
        }
    }
}

/// Whether a value is within its time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// It is.
    Fresh,
    /// It ended so long ago, and nothing better could be had in time.
    Stale(Duration),
}

impl Freshness {
    /// It is past its time to live.
    pub const fn is_stale(self) -> bool {
        matches!(self, Self::Stale(_))
    }
}

/// What the cache has to do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Nothing: Redis serves.
    Normal,
    /// Redis is away. Memory goes on for a short time; writes of other instances are not heard of.
    WithoutRedis,
    /// Redis is away and there is no memory tier, or both are switched off: every value is loaded.
    DatabaseOnly,
}

impl Mode {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::WithoutRedis => "without-redis",
            Self::DatabaseOnly => "database-only",
        }
    }
}

/// A value from a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Cached<V> {
    /// The value.
    pub value: V,
    /// Where it comes from.
    pub tier: Tier,
    /// Whether it is within its time to live.
    pub freshness: Freshness,
    /// What the cache had to do without.
    pub mode: Mode,
}

impl<V> Cached<V> {
    /// It was answered without Redis. A hit in memory while Redis serves is not degraded.
    pub fn is_degraded(&self) -> bool {
        self.mode != Mode::Normal
    }

    /// `hit`, `miss` or `stale`: the word on the wire and in metrics.
    pub const fn result(&self) -> &'static str {
        match (self.freshness, self.tier) {
            (Freshness::Stale(_), _) => "stale",
            (Freshness::Fresh, Tier::Loader) => "miss",
            (Freshness::Fresh, _) => "hit",
        }
    }

    /// The same with a value made of this one.
    pub fn map<U>(self, f: impl FnOnce(V) -> U) -> Cached<U> {
        let Self { value, tier, freshness, mode } = self;
        Cached { value: f(value), tier, freshness, mode }
    }
}
