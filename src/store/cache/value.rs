//! A value on its way into a cache, with what the cache is to know of it.

use std::{sync::Arc, time::Duration};

/// More tags, or longer ones, and the value is not kept.
const MOST_TAGS: usize = 16;
const LONGEST_TAG: usize = 128;

/// A value to be cached, or the knowledge that there is none. A loader may return an `Option<V>` in
/// its place.
///
/// ```
/// # use std::time::Duration;
/// use evenkeel::store::cache::CacheValue;
///
/// let value = CacheValue::new(7).with_ttl(Duration::from_secs(5)).with_tags(["list"]);
/// let absent = CacheValue::<u32>::absent();
/// # let _ = (value, absent);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct CacheValue<V> {
    pub(super) value: Option<V>,
    pub(super) ttl: Option<Duration>,
    pub(super) stale_for: Option<Duration>,
    pub(super) tags: Arc<[Arc<str>]>,
    pub(super) is_kept: bool,
}

impl<V> CacheValue<V> {
    /// This value, with the cache's own times.
    pub fn new(value: V) -> Self {
        Some(value).into()
    }

    /// There is no such thing. Kept for the cache's
    /// [`negative_ttl`](super::CacheBuilder::with_negative_ttl).
    pub fn absent() -> Self {
        None.into()
    }

    /// How long it is fresh, from the beginning of its load, in place of the cache's own time.
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How long it may be served after that where nothing better can be had, in place of the
    /// cache's own time.
    pub fn with_stale_for(mut self, stale_for: Duration) -> Self {
        self.stale_for = Some(stale_for);
        self
    }

    /// What it is part of: [`Cache::invalidate_tag`](super::Cache::invalidate_tag) of any of these
    /// ends it. At most 16 tags of at most 128 bytes each: with more it is not kept.
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.tags = tags.into_iter().map(|tag| Arc::from(tag.as_ref())).collect();
        self
    }

    /// It is returned and not kept.
    pub fn uncached(mut self) -> Self {
        self.is_kept = false;
        self
    }

    pub(super) fn can_be_kept(&self) -> bool {
        self.is_kept
            && self.tags.len() <= MOST_TAGS
            && self.tags.iter().all(|tag| tag.len() <= LONGEST_TAG)
    }
}

impl<V> From<Option<V>> for CacheValue<V> {
    fn from(value: Option<V>) -> Self {
        Self { value, ttl: None, stale_for: None, tags: Arc::default(), is_kept: true }
    }
}
