//! A load: Redis is asked, then the loader, once for all who wait.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::{Instant, sleep, timeout};

use super::{
    answer::{Freshness, Tier},
    entry::Entry,
    error::LoadError,
    flight::{Landing, Outcome},
    frame::Stamp,
    generations::Begun,
    memory::Ticket,
    remote::{Found, Lease},
    shared::{Seen, Shared},
    value::CacheValue,
};

/// Between looks at whether another instance has loaded.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(50);

/// One load of one key, in a task of its own.
pub(super) struct Load<V> {
    pub(super) shared: Arc<Shared<V>>,
    pub(super) ticket: Ticket<V>,
    pub(super) landing: Landing<V>,
    /// Read, or loading, began here.
    pub(super) begun: Begun,
    /// Look into Redis first: there is nothing newer in memory.
    pub(super) refreshes: bool,
}

/// What was loaded and is to be stored in Redis.
struct Stored {
    seen: Found,
    token: Stamp,
}

enum Search<V> {
    Found(Outcome<V>),
    /// Nothing in Redis: this instance loads, and stores over what it has seen.
    Load(Option<Stored>),
}

impl<V: Clone + Send + Sync + 'static> Load<V> {
    pub(super) async fn run<L, E>(self, loader: impl Future<Output = Result<L, E>> + Send)
    where
        L: Into<CacheValue<V>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match self.search().await {
            Search::Found(outcome) => self.land(outcome),
            Search::Load(stored) => self.load(loader, stored).await,
        }
    }

    fn land(self, outcome: Outcome<V>) {
        // Before the waiters go on: who comes after them finds the entry or begins anew.
        drop(self.ticket);
        self.landing.send_replace(Some(outcome));
    }

    async fn search(&self) -> Search<V> {
        let Self { shared, ticket, .. } = self;
        let key = ticket.key();
        if !shared.uses_redis() || shared.backlog.is_dirty(key) {
            return Search::Load(None);
        }
        let mut connection = shared.redis.connection();
        let mut seen = match shared.remote().get(&mut connection, key).await {
            Ok(seen) => seen,
            Err(error) => {
                shared.switch.log(&error);
                return Search::Load(None);
            }
        };
        let token: Stamp = rand::random();
        let (began, mut pause) = (Instant::now(), FIRST_LOOK);
        loop {
            if let Some(found) = self.usable(&seen) {
                return Search::Found(Ok(found));
            }
            let lease = shared.settings.lease;
            let answer = shared.remote().lease(&mut connection, key, &seen, token, lease).await;
            match answer {
                Ok(Lease::Granted) => break,
                Ok(Lease::Found(newer)) => seen = newer,
                // Whoever holds the lease takes too long, or is gone.
                Ok(Lease::Taken) if began.elapsed() >= lease => break,
                Ok(Lease::Taken) => {
                    sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                    pause = (pause * 2).min(LONGEST_LOOK);
                }
                Err(error) => {
                    shared.switch.log(&error);
                    return Search::Load(None);
                }
            }
        }
        Search::Load(Some(Stored { seen, token }))
    }

    /// What stands in Redis, if it is fresh, and no older than what is to be refreshed.
    fn usable(&self, seen: &Found) -> Option<(Arc<Entry<V>>, Tier)> {
        let Seen { entry, freshness } = self.shared.read(self.ticket.key(), seen, self.begun)?;
        let is_fresh = freshness == Freshness::Fresh;
        if !is_fresh || (self.refreshes && self.shared.refreshes_early(&entry, entry.stored_at)) {
            return None;
        }
        self.ticket.keep(&entry);
        Some((entry, Tier::Redis))
    }

    async fn load<L, E>(
        self,
        loader: impl Future<Output = Result<L, E>> + Send,
        stored: Option<Stored>,
    ) where
        L: Into<CacheValue<V>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (shared, key) = (Arc::clone(&self.shared), Arc::clone(self.ticket.key()));
        let loaded = self.keep(loader).await;
        let Some(Stored { seen, token }) = stored else { return };
        let mut connection = shared.redis.connection();
        let told = match loaded {
            // What an invalidation has overtaken is not written either.
            Some(Loaded { entry, begun, payload, kept_for }) => {
                let frame = shared.frame(&entry, begun, &payload);
                let remote = shared.remote();
                let stored = remote.store(&mut connection, &key, &seen, &frame, kept_for, token);
                stored.await.map(drop)
            }
            None => shared.remote().release(&mut connection, &key, token).await,
        };
        if let Err(error) = told {
            shared.switch.log(&error);
        }
    }

    /// Asks the loader and keeps what it says in memory. Returns what Redis is to keep as well.
    async fn keep<L, E>(
        self,
        loader: impl Future<Output = Result<L, E>> + Send,
    ) -> Option<Loaded<V>>
    where
        L: Into<CacheValue<V>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let shared = Arc::clone(&self.shared);
        let began = shared.clock.micros();
        if !shared.cool_off.admits(began) {
            self.land(Err(LoadError::cooling_off()));
            return None;
        }
        let value = match ask(loader, shared.settings.hard_timeout).await {
            Ok(value) => value,
            Err(error) => {
                shared.metrics.failed_loads.add(1);
                shared.cool_off.failed(shared.clock.micros());
                self.land(Err(error));
                return None;
            }
        };
        shared.metrics.loads.add(1);
        shared.cool_off.succeeded();
        let begun = self.begun;
        let new = shared.new_entry(self.ticket.key(), value, begun, began);
        let is_kept = new.is_kept && self.ticket.keep(&new.entry);
        self.land(Ok((Arc::clone(&new.entry), Tier::Loader)));
        if !is_kept {
            return None;
        }
        shared.metrics.sets.add(1);
        let kept_for = new.entry.stale_until.saturating_sub(shared.clock.micros());
        let payload = new.payload?;
        let kept_for = Duration::from_micros(kept_for);
        (!kept_for.is_zero()).then_some(Loaded { entry: new.entry, begun, payload, kept_for })
    }
}

/// What was loaded, for Redis.
struct Loaded<V> {
    entry: Arc<Entry<V>>,
    begun: Begun,
    payload: Bytes,
    kept_for: Duration,
}

/// What the loader says, within its time; a panic in it is an answer, too.
async fn ask<V, L, E>(
    loader: impl Future<Output = Result<L, E>> + Send,
    hard_timeout: Duration,
) -> Result<CacheValue<V>, LoadError>
where
    L: Into<CacheValue<V>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match timeout(hard_timeout, AssertUnwindSafe(loader).catch_unwind()).await {
        Ok(Ok(Ok(value))) => Ok(value.into()),
        Ok(Ok(Err(error))) => Err(LoadError::failed(error)),
        Ok(Err(_panic)) => Err(LoadError::panicked()),
        Err(_elapsed) => Err(LoadError::timed_out()),
    }
}
