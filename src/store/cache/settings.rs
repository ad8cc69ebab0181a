//! What a cache can be told.

use std::time::Duration;

use super::{law::Lifetime, value::CacheValue};

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) ttl: Duration,
    pub(super) stale_for: Duration,
    pub(super) negative_ttl: Duration,
    pub(super) ttl_without_redis: Duration,
    pub(super) jitter: f64,
    /// XFetch's beta; 0: no early refresh.
    pub(super) early_refresh: f64,
    pub(super) soft_timeout: Duration,
    pub(super) hard_timeout: Duration,
    pub(super) lease: Duration,
    pub(super) max_bytes: u64,
    pub(super) max_value_bytes: usize,
    pub(super) max_dirty: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            stale_for: Duration::from_secs(600),
            negative_ttl: Duration::from_secs(5),
            ttl_without_redis: Duration::from_secs(30),
            jitter: 0.1,
            early_refresh: 1.0,
            soft_timeout: Duration::from_millis(50),
            hard_timeout: Duration::from_secs(2),
            lease: Duration::from_secs(1),
            max_bytes: 64 << 20,
            max_value_bytes: 1 << 20,
            max_dirty: 10_000,
        }
    }
}

impl Settings {
    /// How long this value lives.
    pub(super) fn lifetime<V>(&self, value: &CacheValue<V>) -> Lifetime {
        let life = match value.value {
            Some(_) => Lifetime {
                ttl: value.ttl.unwrap_or(self.ttl),
                stale_for: value.stale_for.unwrap_or(self.stale_for),
            },
            // What did not exist a while ago may exist now.
            None => {
                Lifetime { ttl: value.ttl.unwrap_or(self.negative_ttl), stale_for: Duration::ZERO }
            }
        };
        life.jittered(self.jitter, rand::random())
    }
}
