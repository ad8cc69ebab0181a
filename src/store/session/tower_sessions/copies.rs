//! Copies of sessions on this instance, in place of those that a client would carry.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::{
    Error, ErrorKind,
    health::{Continuity, Stage},
    memory::GenerationalCache,
    redis::{Connection, Redis},
    store::{
        replay::{Backlog, Pushed, Replay},
        session::{
            id::{SessionId, SessionName},
            keys::SessionKeys,
            presented::Presented,
            seal,
            sessions::{Rules, Sessions},
            snapshot::{Declared, Snapshot},
            state::{Origin, SessionState},
            store::SessionStore,
        },
    },
    telemetry::Feature,
};

/// The largest copy that is kept, in bytes.
const LARGEST: usize = 64 * 1024;

/// Sessions with their copies here.
pub(super) struct Copies {
    pub(super) sessions: Sessions,
    capacity: usize,
    tables: Mutex<Tables>,
    /// Writes to Redis what was written without it.
    replay: Replay<Self>,
}

struct Tables {
    /// As Redis has them.
    stored: GenerationalCache<SessionName, Snapshot>,
    /// Changed without Redis.
    unwritten: HashMap<SessionName, Snapshot>,
}

/// The rules of sessions whose copies stay on this instance.
pub(super) fn rules() -> Rules {
    let mut rules = Rules::new("");
    rules.declared = Declared::everything();
    rules.room = LARGEST;
    rules
}

impl Copies {
    /// Without the reference to itself that the replay needs: see `Arc::new_cyclic`.
    pub(super) fn new(redis: &Redis, rules: Rules, capacity: usize, replay: Replay<Self>) -> Self {
        let capacity = capacity.max(2);
        let tables = Tables { stored: GenerationalCache::new(capacity), unwritten: HashMap::new() };
        Self {
            // No snapshot leaves this process, so none is ever sealed.
            sessions: Sessions::new(&SessionStore::new(redis, SessionKeys::random()), rules),
            capacity,
            tables: Mutex::new(tables),
            replay,
        }
    }

    /// The session, from Redis or from its copy.
    pub(super) async fn load(&self, id: SessionId) -> Result<SessionState, Error> {
        let copy = self.get(id.name());
        let presented = copy.map_or(Presented::Nothing, |copy| Presented::Open(copy.into()));
        let state = self.sessions.load(id, presented).await?;
        self.keep(id, &state);
        Ok(state)
    }

    /// Writes what was changed, to Redis or to the copy.
    pub(super) async fn save(
        &self,
        id: SessionId,
        state: SessionState,
    ) -> Result<SessionState, Error> {
        self.has_room(id)?;
        let saved = self.sessions.save(state).await?;
        self.keep(id, &saved);
        Ok(saved)
    }

    pub(super) fn get(&self, name: SessionName) -> Option<Snapshot> {
        let tables = self.tables.lock();
        tables.unwritten.get(&name).or_else(|| tables.stored.get(&name)).cloned()
    }

    /// Keeps what there is now of this session.
    pub(super) fn keep(&self, id: SessionId, state: &SessionState) {
        let (name, mut tables) = (id.name(), self.tables.lock());
        match &state.origin {
            Origin::None => {
                tables.stored.remove(&name);
                tables.unwritten.remove(&name);
            }
            Origin::Redis(record) => {
                let epoch = self.sessions.epoch();
                let copy =
                    Snapshot::of(id, record, &self.sessions.rules.declared, epoch, state.verified);
                if state.offline_changes.is_empty() {
                    tables.unwritten.remove(&name);
                }
                if seal::fits_whole(LARGEST, &copy) {
                    drop(tables.stored.put(name, copy));
                } else {
                    tables.stored.remove(&name);
                }
            }
            Origin::Snapshot(snapshot) if snapshot.stamp > 0 => {
                tables.unwritten.insert(name, (**snapshot).clone());
                drop(tables);
                self.replay.arm();
            }
            Origin::Snapshot(_) => {}
        }
    }

    /// What is written without Redis must find a place here.
    pub(super) fn has_room(&self, id: SessionId) -> Result<(), Error> {
        let tables = self.tables.lock();
        let is_full = tables.unwritten.len() >= self.capacity;
        match is_full && !tables.unwritten.contains_key(&id.name()) {
            true => Err(self.sessions.unavailable()),
            false => Ok(()),
        }
    }
}

/// What was written without Redis is brought there as soon as it serves again.
impl Backlog for Copies {
    /// Loaded and saved as by a request, which Redis serves after the recovery.
    const STAGE: Option<Stage> = None;
    const NAME: &'static str = "tower-sessions";
    const FEATURE: Feature = Feature::Session;

    type Item = SessionId;

    /// Whether Redis has lost a session is found out when it is loaded.
    fn mark_lost(&self, _: Continuity) {}

    fn due(&self, cursor: &mut usize) -> Option<Vec<SessionId>> {
        *cursor += 1;
        let unwritten = || self.tables.lock().unwritten.values().map(Snapshot::id).collect();
        (*cursor == 1).then(unwritten)
    }

    async fn push(&self, _: &mut Connection, id: SessionId) -> Result<Pushed, Error> {
        let state = self.load(id).await?;
        let saved = self.sessions.save(state).await?;
        if saved.is_stateless() {
            return Err(match self.sessions.monitor().is_available() {
                true => Error::new(ErrorKind::Command, "Redis refuses the session"),
                false => self.sessions.unavailable(),
            });
        }
        self.keep(id, &saved);
        // The session store counts it, as for a request.
        Ok(Pushed::NONE)
    }
}
