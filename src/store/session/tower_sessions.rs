//! For who uses tower-sessions already.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use time::OffsetDateTime;
use tower_sessions_core::{
    SessionStore as Store,
    session::{Id, Record as TheirRecord},
    session_store::{Error as StoreError, Result as StoreResult},
};

use super::{
    expiry::{Expiry, Times, wall},
    id::{SessionId, SessionName},
    keys::SessionKeys,
    load::Copy,
    record::{Changes, Json},
    renew::CompleteState,
    rules::Rules,
    seal,
    snapshot::{Declared, Snapshot},
    state::{Origin, SessionState},
    store::SessionStore,
};
use crate::{Error, memory::Recent, redis::Redis};

/// Sessions that are kept here for an outage.
const CAPACITY: usize = 10_000;
/// The largest that is, in bytes.
const LARGEST: usize = 64 * 1024;
/// How often it is looked whether Redis takes what was written without it.
const EVERY: Duration = Duration::from_millis(500);

/// A store for [tower-sessions] 0.15, in Redis, which goes on without it: handlers stay as they are.
///
/// Its layer keeps only an id with the client, so what [`SessionLayer`](crate::layer::SessionLayer) has the client continue_offline is
/// kept here: a copy of each session that this instance has served snapshots.
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
/// A session that this instance has served within the hour (see [`with_max_offline_age`](Self::with_max_offline_age)) goes on from the
/// copy. What is written is noted, and brought to Redis as soon as that is back, key by key; what
/// another instance has changed there meanwhile stays. A deletion holds at once here and in Redis afterwards, also when that comes back empty or
/// older. Any other session is an error of the store, at once, which tower-sessions answers with 500; it is never taken for absent.
/// A session that begins in an outage is known to this instance alone until Redis is back.
///
/// # At the bound
///
/// Of sessions that are in Redis, copies of the 10 000 used last are kept, none larger than 64 KiB. What was written without Redis is
/// never dropped: when there are as many of those, the next write is an error.
///
/// [tower-sessions]: https://docs.rs/tower-sessions
#[derive(Clone)]
pub struct TowerSessionStore {
    inner: Arc<Inner>,
    rules: Rules,
}

struct Inner {
    store: SessionStore,
    kept: Mutex<Kept>,
    capacity: usize,
    is_writing: AtomicBool,
}

struct Kept {
    /// As Redis has them.
    copies: Recent<SessionName, Snapshot>,
    /// Changed without Redis.
    unwritten: HashMap<SessionName, Snapshot>,
}

impl TowerSessionStore {
    /// A store in this Redis.
    pub fn new(redis: &Redis) -> Self {
        Self::with_capacity(redis, CAPACITY)
    }

    /// The same with another number of copies.
    pub fn with_capacity(redis: &Redis, sessions: usize) -> Self {
        let capacity = sessions.max(2);
        let kept = Kept { copies: Recent::new(capacity), unwritten: HashMap::new() };
        let inner = Inner {
            // Nothing is sealed: nothing leaves the house.
            store: SessionStore::new(redis, SessionKeys::random()),
            kept: Mutex::new(kept),
            capacity,
            is_writing: AtomicBool::new(false),
        };
        let mut rules = Rules::new("");
        rules.declared = Declared::everything();
        rules.room = LARGEST;
        Self { inner: Arc::new(inner), rules }
    }

    /// For how long a copy is believed without Redis, counted from when Redis last verified it. Default: an hour.
    #[must_use]
    pub fn with_max_offline_age(mut self, age: Duration) -> Self {
        self.rules.max_offline_age = age;
        self
    }

    async fn state(&self, id: SessionId) -> Result<SessionState, Error> {
        let copy = self.inner.copy(id.name()).map_or(Copy::None, |copy| Copy::Open(copy.into()));
        let state = self.inner.store.load_with(&self.rules, id, copy).await?;
        self.keep(id, &state);
        Ok(state)
    }

    /// Keeps what there is now of this session.
    fn keep(&self, id: SessionId, state: &SessionState) {
        let (name, mut kept) = (id.name(), self.inner.kept());
        match &state.origin {
            Origin::None => {
                kept.copies.remove(&name);
                kept.unwritten.remove(&name);
            }
            Origin::Redis(record) => {
                let epoch = self.inner.store.epoch();
                let copy = Snapshot::of(id, record, &self.rules.declared, epoch, state.verified);
                if state.offline_changes.is_empty() {
                    kept.unwritten.remove(&name);
                }
                if seal::fits_whole(LARGEST, &copy) {
                    drop(kept.copies.put(name, copy));
                } else {
                    kept.copies.remove(&name);
                }
            }
            Origin::Snapshot(snapshot) if snapshot.stamp > 0 => {
                kept.unwritten.insert(name, (**snapshot).clone());
                drop(kept);
                self.write_later();
            }
            Origin::Snapshot(_) => {}
        }
    }

    /// What is written without Redis must find a place here.
    fn has_room(&self, id: SessionId) -> StoreResult<()> {
        let kept = self.inner.kept();
        let is_full = kept.unwritten.len() >= self.inner.capacity;
        if is_full && !kept.unwritten.contains_key(&id.name()) {
            return Err(backend(&self.inner.store.unavailable()));
        }
        Ok(())
    }

    /// Brings to Redis what was written without it; one task at most, until nothing is left.
    fn write_later(&self) {
        if self.inner.is_writing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (weak, rules) = (Arc::downgrade(&self.inner), self.rules.clone());
        tokio::spawn(async move {
            loop {
                let Some(inner) = weak.upgrade() else { return };
                let this = Self { inner, rules: rules.clone() };
                let is_up = this.inner.store.monitor().wait_available(EVERY).await;
                if is_up && !this.write_back().await {
                    tokio::time::sleep(EVERY).await;
                }
                if this.inner.kept().unwritten.is_empty() {
                    this.inner.is_writing.store(false, Ordering::Release);
                    if this.inner.kept().unwritten.is_empty()
                        || this.inner.is_writing.swap(true, Ordering::AcqRel)
                    {
                        return;
                    }
                }
            }
        });
    }

    /// Whether all of it is in Redis now.
    async fn write_back(&self) -> bool {
        let unwritten: Vec<_> = self.inner.kept().unwritten.values().map(Snapshot::id).collect();
        for id in unwritten {
            let Ok(state) = self.state(id).await else { return false };
            let Ok(saved) = self.inner.store.save(&self.rules, state).await else { return false };
            if saved.is_stateless() {
                return false;
            }
            self.keep(id, &saved);
        }
        true
    }
}

impl Inner {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock()
    }

    fn copy(&self, name: SessionName) -> Option<Snapshot> {
        let kept = self.kept();
        kept.unwritten.get(&name).or_else(|| kept.copies.get(&name)).cloned()
    }
}

#[async_trait]
impl Store for TowerSessionStore {
    async fn create(&self, theirs: &mut TheirRecord) -> StoreResult<()> {
        let changes = Changes { values: values(theirs)?, expiry: None };
        loop {
            let id = our_id(theirs.id);
            let times = Times::beginning(wall(), expiry(wall(), theirs));
            self.has_room(id)?;
            let created = self.inner.store.create(&self.rules, id, times, &changes).await;
            if let Some(state) = created.map_err(|error| backend(&error))? {
                self.keep(id, &state);
                return Ok(());
            }
            // Taken, or logged out.
            theirs.id = Id::default();
        }
    }

    async fn save(&self, theirs: &TheirRecord) -> StoreResult<()> {
        let id = our_id(theirs.id);
        let mut state = self.state(id).await.map_err(|error| backend(&error))?;
        // Deleted meanwhile: a request that is slower does not bring it back.
        let Some(whole) = CompleteState::of(&state) else { return Ok(()) };
        let values = values(theirs)?;
        for key in whole.changes.values.keys().filter(|key| !values.contains_key(*key)) {
            state.set(key, None);
        }
        for (key, json) in values {
            if whole.changes.values.get(&key) != Some(&json) {
                state.set(&key, json);
            }
        }
        let until = millis_of(theirs.expiry_date);
        if until.abs_diff(whole.times.until()) > 1_000 {
            let absolute = until.saturating_sub(whole.times.created);
            state.changes.expiry = Some((until.saturating_sub(wall()), absolute));
        }
        self.has_room(id)?;
        let saved = self.inner.store.save(&self.rules, state).await;
        self.keep(id, &saved.map_err(|error| backend(&error))?);
        Ok(())
    }

    async fn load(&self, id: &Id) -> StoreResult<Option<TheirRecord>> {
        let state = self.state(our_id(*id)).await.map_err(|error| backend(&error))?;
        let Some(whole) = CompleteState::of(&state) else { return Ok(None) };
        let mut data = HashMap::new();
        for (key, json) in whole.changes.values {
            if let Some(json) = json {
                let value = serde_json::from_str(&json);
                data.insert(key, value.map_err(|error| StoreError::Decode(error.to_string()))?);
            }
        }
        let until = i128::from(whole.times.until()) * 1_000_000;
        let expiry_date = OffsetDateTime::from_unix_timestamp_nanos(until)
            .map_err(|error| StoreError::Decode(error.to_string()))?;
        Ok(Some(TheirRecord { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> StoreResult<()> {
        let id = our_id(*id);
        let ends = self.inner.copy(id.name()).map(|copy| copy.times.ends);
        let ended = self.inner.store.end(&self.rules, id, None, ends).await;
        self.keep(id, &SessionState::none());
        ended.map_err(|error| backend(&error))
    }
}

fn our_id(id: Id) -> SessionId {
    SessionId::from_bytes(id.0.to_be_bytes())
}

fn values(theirs: &TheirRecord) -> StoreResult<BTreeMap<String, Json>> {
    let text = |(key, value): (&String, &serde_json::Value)| {
        Ok((key.clone(), Some(serde_json::to_string(value)?)))
    };
    let values: Result<_, serde_json::Error> = theirs.data.iter().map(text).collect();
    values.map_err(|error| StoreError::Encode(error.to_string()))
}

/// All of it until their date of expiry, which moves on as they please.
fn expiry(now: u64, theirs: &TheirRecord) -> Expiry {
    let lives = Duration::from_millis(millis_of(theirs.expiry_date).saturating_sub(now));
    Expiry::new(lives, lives)
}

fn millis_of(date: OffsetDateTime) -> u64 {
    u64::try_from(date.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

fn backend(error: &Error) -> StoreError {
    StoreError::Backend(error.to_string())
}

impl fmt::Debug for TowerSessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerSessionStore")
            .field("store", &self.inner.store)
            .finish_non_exhaustive()
    }
}
