//! Values that are put in before anybody asks for them.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_core::Stream;
use futures_util::StreamExt;

use super::{
    answer::Freshness,
    load::Load,
    redis::Found,
    shared::Shared,
    store::{Cache, Inner},
    value::CacheValue,
};
use crate::health::{Continuity, Recovery, Registration, Stage};

/// Values under way to Redis at once: enough to fill a round trip, too few to be in anybody's way.
const IN_FLIGHT: usize = 16;
/// How long Redis is waited for after its recovery.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of the values that a cache was warmed with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warmed {
    /// Values that are in the cache now.
    pub stored: u64,
    /// Values that were there already, or changed meanwhile, or are not to be kept.
    pub skipped: u64,
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// Puts values in, at a bounded rate: 16 at a time, each after one round trip. What the cache
    /// has already stays, and what is invalidated meanwhile is not brought back.
    ///
    /// # When Redis is down
    ///
    /// Memory alone is warmed.
    pub async fn warm<K: AsRef<str>, L: Into<CacheValue<V>>>(
        &self,
        values: impl Stream<Item = (K, L)>,
    ) -> Warmed {
        warm(&self.inner.shared, values).await
    }

    /// Warms the cache whenever Redis comes back without its data, with what `values` yields then.
    /// It runs in the background, after Redis is available again, for as long as the result lives.
    pub fn warm_on_recovery<S, K, L>(
        &self,
        values: impl Fn() -> S + Send + Sync + 'static,
    ) -> WarmOnRecovery
    where
        S: Stream<Item = (K, L)> + Send + 'static,
        K: AsRef<str> + Send + 'static,
        L: Into<CacheValue<V>> + Send + 'static,
    {
        let inner: Weak<Inner<V>> = Arc::downgrade(&self.inner);
        let values = Arc::new(values);
        let step = move |_, recovery: Recovery| {
            let lost = recovery.continuity() == Continuity::Lost;
            if let (Some(inner), true) = (inner.upgrade(), lost) {
                let (shared, values) = (Arc::clone(&inner.shared), Arc::clone(&values));
                inner.shared.redis.spawn(async move {
                    // The steps after this one come first.
                    if shared.redis.monitor().wait_available(PATIENCE).await {
                        warm(&shared, values()).await;
                    }
                });
            }
            std::future::ready(Ok(()))
        };
        let redis = &self.inner.shared.redis;
        WarmOnRecovery { _step: redis.on_recovery(Stage::Caches, "warming a cache", step) }
    }
}

/// Ends the warming on recovery when it is dropped. Made by [`Cache::warm_on_recovery`].
#[derive(Debug)]
#[must_use = "the cache is no longer warmed when this is dropped"]
pub struct WarmOnRecovery {
    _step: Registration,
}

async fn warm<V, K, L>(shared: &Arc<Shared<V>>, values: impl Stream<Item = (K, L)>) -> Warmed
where
    V: Clone + Send + Sync + 'static,
    K: AsRef<str>,
    L: Into<CacheValue<V>>,
{
    let (stored, skipped) = (AtomicU64::new(0), AtomicU64::new(0));
    values
        .for_each_concurrent(IN_FLIGHT, |(key, value)| {
            let put = put(shared, key.as_ref().into(), value.into());
            async {
                let count = if put.await { &stored } else { &skipped };
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
        .await;
    Warmed { stored: stored.into_inner(), skipped: skipped.into_inner() }
}

/// One value, where there is none.
async fn put<V: Clone + Send + Sync + 'static>(
    shared: &Arc<Shared<V>>,
    key: Arc<str>,
    value: CacheValue<V>,
) -> bool {
    let now = shared.clock.micros();
    if shared.look(&key, now).is_some_and(|seen| seen.freshness == Freshness::Fresh) {
        return false;
    }
    let begun = shared.generations().begin();
    let load = Load::alone(shared, &key, begun);
    let seen = match shared.uses_redis() {
        false => Found::default(),
        true => {
            let mut connection = shared.redis.connection();
            shared.remote().get(&mut connection, &key).await.unwrap_or_default()
        }
    };
    if load.usable(&seen).is_some() {
        return false;
    }
    let Some(loaded) = load.finish(value, now) else { return false };
    if !shared.uses_redis() {
        return true;
    }
    loaded.store(shared, &seen, rand::random()).await.unwrap_or(true)
}
