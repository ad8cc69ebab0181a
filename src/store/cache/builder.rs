//! What a cache can be told before it is built.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    backlog::CacheBacklog,
    codec::{Codec, Postcard},
    cool_off::CoolOff,
    follow::follow,
    memory::Memory,
    metrics::CacheMetrics,
    redis::Remote,
    settings::Settings,
    shared::Shared,
    store::{Cache, Inner},
};
use crate::{
    Error,
    clock::Clock,
    label::is_label,
    redis::Redis,
    store::{
        replay::Replay,
        switch::{Needs, Switch},
    },
    telemetry::{Feature, names},
};

/// Builds a [`Cache`]; nothing is started before `build`.
#[must_use = "a builder does nothing before `build`"]
pub struct CacheBuilder<V> {
    redis: Redis,
    name: String,
    codec: Box<dyn Codec<V>>,
    settings: Settings,
}

impl<V> Cache<V>
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    /// A cache of this name (1 to 64 letters, digits, `-` or `_`) in this Redis, with every setting
    /// at its default. Returns at once, Redis or no Redis. To be called inside a tokio runtime.
    ///
    /// Caches of one name share their values, so they must be of one type.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for another name.
    pub fn new(redis: &Redis, name: &str) -> Result<Self, Error> {
        Self::builder(redis, name).build()
    }

    /// A cache with settings of its own, whose values become bytes by [`Postcard`].
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use evenkeel::store::cache::Cache;
    /// # fn demo(redis: &evenkeel::redis::Redis) -> Result<(), evenkeel::Error> {
    /// let items: Cache<String> = Cache::builder(redis, "items")
    ///     .with_ttl(Duration::from_secs(60))
    ///     .with_stale_for(Duration::from_secs(600))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(redis: &Redis, name: &str) -> CacheBuilder<V> {
        CacheBuilder::with_codec(redis, name, Postcard)
    }
}

impl<V: Clone + Send + Sync + 'static> CacheBuilder<V> {
    /// A builder for values that become bytes in another way: [`Json`](super::Json),
    /// [`Raw`](super::Raw), or one of the application's own.
    pub fn with_codec(redis: &Redis, name: &str, codec: impl Codec<V>) -> Self {
        Self {
            redis: redis.clone(),
            name: name.to_owned(),
            codec: Box::new(codec),
            settings: Settings::default(),
        }
    }

    /// How long a value is fresh, from the beginning of its load. Default 60 s.
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl;
        self
    }

    /// The share of its time to live, from 0 to 1, by which each value's is shortened at random at
    /// most: what was loaded together does not end together. Default 0.1.
    pub fn with_jitter(mut self, share: f64) -> Self {
        self.settings.jitter = share;
        self
    }

    /// How long a value may be served after its time to live, while a new one is loaded or cannot
    /// be. Default 10 minutes; zero: never.
    pub fn with_stale_for(mut self, stale_for: Duration) -> Self {
        self.settings.stale_for = stale_for;
        self
    }

    /// How long it is remembered that there is no such value. Default 5 s; zero: not at all.
    pub fn with_negative_ttl(mut self, ttl: Duration) -> Self {
        self.settings.negative_ttl = ttl;
        self
    }

    /// While Redis is away: how much longer a value in memory counts as fresh. What other instances
    /// write is not heard of meanwhile, so this is how far memory may lag behind. Default 30 s.
    pub fn with_ttl_without_redis(mut self, ttl: Duration) -> Self {
        self.settings.ttl_without_redis = ttl;
        self
    }

    /// How eagerly a value that is asked for is loaded again before it ends: the beta of XFetch
    /// (Vattani, Chierichetti, Lowenstein, VLDB 2015). With 1, the default, one of those who ask
    /// does so in about the time before the end that a load takes. 0: never.
    pub fn with_early_refresh(mut self, beta: f64) -> Self {
        self.settings.early_refresh = beta;
        self
    }

    /// How long a caller waits for a load when there is an older value to be served. Default 50 ms.
    pub fn with_soft_timeout(mut self, limit: Duration) -> Self {
        self.settings.soft_timeout = limit;
        self
    }

    /// How long a load may take at all. Default 2 s.
    pub fn with_hard_timeout(mut self, limit: Duration) -> Self {
        self.settings.hard_timeout = limit;
        self
    }

    /// How many bytes memory keeps at most, reckoned as keys, encoded values and 160 bytes for each
    /// entry. Default 64 MiB; 0: there is no memory tier.
    ///
    /// At the bound quick_cache's variant of S3-FIFO decides what is forgotten: what was asked for
    /// once goes first.
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_bytes = bytes;
        self
    }

    /// Longer values are returned and not kept. Default 1 MiB.
    pub fn with_max_value_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_value_bytes = bytes;
        self
    }

    /// How many keys that were changed while Redis is away are remembered one by one. Beyond that
    /// the whole cache is invalidated when Redis is back. Default 10 000, at least 1.
    pub fn with_max_dirty_keys(mut self, keys: usize) -> Self {
        self.settings.max_dirty = keys;
        self
    }

    /// The cache. Returns at once, Redis or no Redis. To be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// As [`Cache::new`].
    pub fn build(self) -> Result<Cache<V>, Error> {
        let Self { redis, name, codec, settings } = self;
        if !is_label(&name) {
            return Err(Error::config(
                "the name of a cache is 1 to 64 letters, digits, '-' or '_'",
            ));
        }
        let remote = Remote::new(redis.namespace(), &name, settings.hard_timeout);
        let backlog = Arc::new(CacheBacklog::new(&redis, remote, settings.max_dirty));
        let memory = Arc::new(Memory::new(settings.max_bytes));
        register_gauges(&redis, &name, &memory);
        let shared = Arc::new(Shared {
            switch: Switch::new(&redis, Feature::Cache, Needs::Writes),
            metrics: CacheMetrics::new(redis.metrics(), &name),
            memory,
            backlog: Arc::clone(&backlog),
            codec,
            settings,
            cool_off: CoolOff::default(),
            clock: Clock::here(),
            in_step: AtomicBool::new(false),
            is_bypassed: AtomicBool::new(false),
            redis: redis.clone(),
        });
        let counted = Arc::downgrade(&shared);
        redis.show_usage(Box::new(move || Some(counted.upgrade()?.metrics.stats().into())));
        let replay = Replay::new(&redis, Arc::downgrade(&backlog));
        let follower = redis.spawn(follow(Arc::clone(&shared)));
        Ok(Cache::from_inner(Inner { shared, replay, follower, name }))
    }
}

fn register_gauges<V: Send + Sync + 'static>(redis: &Redis, name: &str, memory: &Arc<Memory<V>>) {
    let labels = [("cache", name)];
    let (entries, bytes) = (Arc::downgrade(memory), Arc::downgrade(memory));
    let metrics = redis.metrics();
    metrics.gauge(names::CACHE_ENTRIES, &labels, move || Some(entries.upgrade()?.len() as f64));
    metrics.gauge(names::CACHE_BYTES, &labels, move || Some(bytes.upgrade()?.bytes() as f64));
}

impl<V> fmt::Debug for CacheBuilder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
