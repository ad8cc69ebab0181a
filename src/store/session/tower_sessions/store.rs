//! The store that tower-sessions asks, and its settings.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tower_sessions_core::{
    SessionStore as Store,
    session::{Id, Record},
    session_store::Result as StoreResult,
};

use super::{
    convert::{backend, expiry, millis, session_id, to_record, to_values},
    copies::{Copies, rules},
};
use crate::{
    redis::Redis,
    store::{
        replay::Replay,
        session::{
            ending::Ending, expiry::Times, record::Changes, sessions::Rules, state::SessionState,
        },
    },
    units::wall_millis,
};

/// Copies that are kept unless set.
const CAPACITY: usize = 10_000;
/// How far a date of expiry may be from what is stored before it is written anew, in ms.
const EXPIRY_SLACK: u64 = 1_000;

/// A store for [tower-sessions] 0.15, in Redis, which goes on without it: handlers stay as they
/// are.
///
/// The layer of tower-sessions gives the client only an id. What
/// [`SessionLayer`](crate::layer::SessionLayer) lets the client carry is therefore kept here: a
/// copy of each session that this instance served not long ago.
///
/// ```no_run
/// use evenkeel::{redis::Redis, store::session::TowerSessionStore};
/// use tower_sessions::SessionManagerLayer;
///
/// # fn demo() -> Result<(), evenkeel::Error> {
/// let redis = Redis::from_env()?;
/// let sessions = SessionManagerLayer::new(TowerSessionStore::new(&redis));
/// # Ok(())
/// # }
/// ```
///
/// # When Redis is down
///
/// A session that this instance has served within the hour (see
/// [`with_max_offline_age`](TowerSessionStoreBuilder::with_max_offline_age)) goes on from its copy.
/// What is written is noted, and brought to Redis as soon as that is back, key by key; what another
/// instance has changed there meanwhile stays.
///
/// A deletion holds at once here and in Redis afterwards, also when that comes back empty or older.
///
/// Any other session is an error of the store, at once, which tower-sessions answers with 500; it
/// is never taken for absent. A session that begins in an outage is known to this instance alone
/// until Redis is back.
///
/// # At the bound
///
/// Of the sessions that are in Redis, copies of the 10 000 used last are kept, none larger than
/// 64 KiB. What was written without Redis is never dropped: when there are as many of those, the
/// next write is an error.
///
/// [tower-sessions]: https://docs.rs/tower-sessions
#[derive(Clone)]
pub struct TowerSessionStore {
    copies: Arc<Copies>,
}

/// Settings of a [`TowerSessionStore`], from [`TowerSessionStore::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing is made before `build`"]
pub struct TowerSessionStoreBuilder {
    redis: Redis,
    rules: Rules,
    capacity: usize,
}

impl TowerSessionStore {
    /// A store in this Redis, with an hour's trust in copies and room for 10 000.
    /// [`builder`](Self::builder) has the settings.
    pub fn new(redis: &Redis) -> Self {
        Self::builder(redis).build()
    }

    /// A store in this Redis, with other settings than the defaults.
    pub fn builder(redis: &Redis) -> TowerSessionStoreBuilder {
        TowerSessionStoreBuilder { redis: redis.clone(), rules: rules(), capacity: CAPACITY }
    }
}

impl TowerSessionStoreBuilder {
    /// Of how many sessions a copy is kept here for an outage. Default: 10 000; at least 2.
    pub fn with_capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions;
        self
    }

    /// For how long a copy is believed without Redis, counted from when Redis last verified it.
    /// Default: an hour.
    pub fn with_max_offline_age(mut self, age: Duration) -> Self {
        self.rules.max_offline_age = age;
        self
    }

    /// The store.
    pub fn build(self) -> TowerSessionStore {
        let Self { redis, rules, capacity } = self;
        let copies = Arc::new_cyclic(|copies| {
            Copies::new(&redis, rules, capacity, Replay::new(&redis, copies.clone()))
        });
        TowerSessionStore { copies }
    }
}

#[async_trait]
impl Store for TowerSessionStore {
    async fn create(&self, record: &mut Record) -> StoreResult<()> {
        let changes = Changes { values: to_values(record)?, expiry: None };
        loop {
            let id = session_id(record.id);
            let now = wall_millis();
            let times = Times::beginning(now, expiry(now, record));
            self.copies.has_room(id).map_err(backend)?;
            let created = self.copies.sessions.create_with_id(id, times, None, changes.clone());
            if let Some(state) = created.await.map_err(backend)? {
                self.copies.keep(id, &state);
                return Ok(());
            }
            // Taken, or logged out.
            record.id = Id::default();
        }
    }

    async fn save(&self, record: &Record) -> StoreResult<()> {
        let id = session_id(record.id);
        let mut state = self.copies.load(id).await.map_err(backend)?;
        // Deleted meanwhile: a request that is slower does not bring it back.
        let (Some(known), Some(times)) = (state.complete(), state.times()) else { return Ok(()) };
        let values = to_values(record)?;
        for key in known.values.keys().filter(|key| !values.contains_key(*key)) {
            state.set(key, None);
        }
        for (key, json) in values {
            if known.values.get(&key) != Some(&json) {
                state.set(&key, json);
            }
        }
        let until = millis(record.expiry_date);
        if until.abs_diff(times.until()) > EXPIRY_SLACK {
            let absolute = until.saturating_sub(times.created);
            state.changes.expiry = Some((until.saturating_sub(wall_millis()), absolute));
        }
        self.copies.save(id, state).await.map_err(backend)?;
        Ok(())
    }

    async fn load(&self, id: &Id) -> StoreResult<Option<Record>> {
        let state = self.copies.load(session_id(*id)).await.map_err(backend)?;
        let complete = state.times().zip(state.complete());
        complete.map(|(times, known)| to_record(*id, times, known)).transpose()
    }

    async fn delete(&self, id: &Id) -> StoreResult<()> {
        let id = session_id(*id);
        let ending = self.copies.get(id.name()).as_ref().map(Ending::of_snapshot);
        // Before the await, in which the client may go away.
        self.copies.keep(id, &SessionState::none());
        self.copies.sessions.end(id, ending).await.map_err(backend)
    }
}

impl fmt::Debug for TowerSessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerSessionStore")
            .field("sessions", &self.copies.sessions)
            .finish_non_exhaustive()
    }
}
