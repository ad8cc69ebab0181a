//! A load: Redis is asked, then the loader, once for all who wait.

use std::{
    error::Error as StdError, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::{Instant, sleep, timeout};

use super::{
    answer::{Freshness, Tier},
    entry::Entry,
    error::LoadError,
    flight::{Flight, Landing, Outcome},
    frame::Stamp,
    generations::Begun,
    memory::Ticket,
    redis::{Found, Lease},
    shared::{Seen, Shared},
    value::CacheValue,
};
use crate::Error;

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
    /// One that nobody waits for and that makes nobody wait.
    pub(super) fn alone(shared: &Arc<Shared<V>>, key: &Arc<str>, begun: Begun) -> Self {
        let ticket = shared.memory.begin(key);
        let (_, landing) = Flight::begin(0, begun.local);
        Self { shared: Arc::clone(shared), ticket, landing, begun, refreshes: false }
    }

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

    pub(super) fn land(self, outcome: Outcome<V>) {
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
    pub(super) fn usable(&self, seen: &Found) -> Option<(Arc<Entry<V>>, Tier)> {
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
        let told = match loaded {
            Some(loaded) => loaded.store(&shared, &seen, token).await.map(drop),
            // What an invalidation has overtaken is not written either.
            None => {
                let mut connection = shared.redis.connection();
                shared.remote().release(&mut connection, &key, token).await
            }
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
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let began = self.shared.clock.micros();
        match self.shared.ask(loader).await {
            Ok(value) => self.finish(value.into(), began),
            Err(error) => {
                self.land(Err(error));
                None
            }
        }
    }

    /// Keeps in memory what the loader said, which was asked at `began`. Returns what Redis is to
    /// keep as well.
    pub(super) fn finish(self, value: CacheValue<V>, began: u64) -> Option<Loaded<V>> {
        let (shared, begun) = (Arc::clone(&self.shared), self.begun);
        let key = Arc::clone(self.ticket.key());
        let new = shared.new_entry(&key, value, begun, began);
        let is_kept = new.is_kept && self.ticket.keep(&new.entry);
        self.land(Ok((Arc::clone(&new.entry), Tier::Loader)));
        if !is_kept {
            return None;
        }
        shared.metrics.sets.add(1);
        let kept_for = new.entry.stale_until.saturating_sub(shared.clock.micros());
        let kept_for = Duration::from_micros(kept_for);
        let payload = new.payload.filter(|_| !kept_for.is_zero())?;
        Some(Loaded { key, entry: new.entry, begun, payload, kept_for })
    }
}

/// What was loaded, for Redis.
pub(super) struct Loaded<V> {
    key: Arc<str>,
    entry: Arc<Entry<V>>,
    begun: Begun,
    payload: Bytes,
    kept_for: Duration,
}

impl<V: Clone + Send + Sync + 'static> Loaded<V> {
    /// Stores it in Redis, unless the key was written since `seen`.
    pub(super) async fn store(
        &self,
        shared: &Shared<V>,
        seen: &Found,
        token: Stamp,
    ) -> Result<bool, Error> {
        let Self { key, entry, begun, payload, kept_for } = self;
        let frame = shared.frame(entry, *begun, payload);
        let mut connection = shared.redis.connection();
        shared.remote().store(&mut connection, key, seen, &frame, *kept_for, token).await
    }
}

impl<V: Clone + Send + Sync + 'static> Shared<V> {
    /// What the loader says, within its time; a panic in it is an answer, too. A loader that keeps
    /// failing is not asked for a while.
    pub(super) async fn ask<L, E>(
        &self,
        loader: impl Future<Output = Result<L, E>> + Send,
    ) -> Result<L, LoadError>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        if !self.cool_off.admits(self.clock.micros()) {
            return Err(LoadError::cooling_off());
        }
        let loader = AssertUnwindSafe(loader).catch_unwind();
        let answer = match timeout(self.settings.hard_timeout, loader).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(LoadError::failed(error)),
            Ok(Err(_panic)) => Err(LoadError::panicked()),
            Err(_elapsed) => Err(LoadError::timed_out()),
        };
        if answer.is_ok() {
            self.metrics.loads.add(1);
            self.cool_off.succeeded();
        } else {
            self.metrics.failed_loads.add(1);
            self.cool_off.failed(self.clock.micros());
        }
        answer
    }
}
