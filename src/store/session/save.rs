//! From what a request has changed to Redis, or to what the client carries.

use std::borrow::Cow;

use super::{
    expiry::wall,
    high_water_marks::KnownCookie,
    id::{SessionId, SessionName},
    metrics::{
        Operation::{Change, Touch, WriteBack},
        Outcome, Replayed,
    },
    record::{Changes, Record},
    rules::Rules,
    seal,
    snapshot::Snapshot,
    state::{Origin, SessionState},
    store::{Inner, SessionStore},
};
use crate::Error;

/// What the client is to be given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseCookies {
    /// A new id.
    pub(crate) id: Option<SessionId>,
    /// A snapshot, sealed.
    pub(crate) snapshot: Option<String>,
    /// For how long it is to keep them, in ms.
    pub(crate) max_age: u64,
}

impl SessionStore {
    /// Writes what was changed. The session that comes back has no changes left.
    ///
    /// # Errors
    ///
    /// It cannot be written now, and the client cannot continue_offline it: a key that is not declared, or no room.
    pub(crate) async fn save(
        &self,
        rules: &Rules,
        mut state: SessionState,
    ) -> Result<SessionState, Error> {
        let inner = &*self.inner;
        if state.is_new() {
            return inner.create(rules, state).await;
        }
        let Some(id) = state.id else { return Ok(state) };
        if inner.memory.has_ended(id.name()) {
            return Ok(SessionState::none());
        }
        if let Some(renewal) = state.renewal {
            return self.renew(rules, state, id, renewal).await;
        }
        match std::mem::replace(&mut state.origin, Origin::None) {
            Origin::None => Ok(state),
            Origin::Redis(record) if state.is_changed() => {
                inner.change(rules, state, id, *record).await
            }
            Origin::Redis(record) => Ok(inner.touch(state, id.name(), *record).await),
            Origin::Snapshot(snapshot) => inner.continue_offline(rules, state, *snapshot),
        }
    }

    /// What the client is to be given after that. Nothing, when the session has ended meanwhile.
    pub(crate) fn response_cookies(&self, rules: &Rules, state: &SessionState) -> ResponseCookies {
        let inner = &*self.inner;
        let Some(id) = state.id.filter(|id| !inner.memory.has_ended(id.name())) else {
            return ResponseCookies::default();
        };
        let (snapshot, ends) = match &state.origin {
            Origin::None => return ResponseCookies::default(),
            Origin::Redis(record) => {
                let epoch = self.epoch();
                let of = || Snapshot::of(id, record, &rules.declared, epoch, state.verified);
                (state.outdated.snapshot.then(|| Cow::Owned(of())), record.times.ends)
            }
            Origin::Snapshot(snapshot) => {
                let snapshot = state.outdated.snapshot.then_some(Cow::Borrowed(&**snapshot));
                (snapshot, state.times().map_or(0, |times| times.ends))
            }
        };
        let holds = snapshot.as_ref().map(|snapshot| (snapshot.version, snapshot.epoch));
        let snapshot = snapshot
            .and_then(|snapshot| seal::seal(&inner.keys, rules.cookie, snapshot, &rules.declared));
        if let (Origin::Redis(_), Some((version, epoch)), Some(sealed)) =
            (&state.origin, holds, &snapshot)
        {
            let marks = &inner.memory.marks;
            let sealed = KnownCookie { hash: marks.hash(sealed), verified: state.verified, epoch };
            marks.set_cookie(id.name(), version, sealed);
        }
        ResponseCookies {
            id: state.outdated.id.then_some(id),
            snapshot,
            max_age: ends.saturating_sub(wall()),
        }
    }
}

impl Inner {
    async fn change(
        &self,
        rules: &Rules,
        mut state: SessionState,
        id: SessionId,
        mut record: Record,
    ) -> Result<SessionState, Error> {
        let name = id.name();
        let offline = std::mem::take(&mut state.offline_changes);
        let offline_count = offline.values.len() as u64;
        let all = offline.then(&state.changes);
        let error = match self.records.change(name, record.version, &all).await {
            Ok(Some(changed)) => {
                match changed.whole {
                    Some(whole) => record = whole,
                    None => record.apply(&all, changed.version),
                }
                record.times.touched = changed.now;
                self.memory.marks.raise(name, record.version);
                let outcome = if changed.conflicts == 0 { Outcome::Ok } else { Outcome::Conflict };
                self.metrics.count(Change, outcome);
                if offline_count > 0 {
                    self.metrics.count(WriteBack, outcome);
                    self.metrics.replayed(Replayed::Applied, offline_count);
                }
                state.changes = Changes::default();
                state.origin = Origin::Redis(Box::new(record));
                state.outdated.snapshot = true;
                return Ok(state);
            }
            Ok(None) => match self.redis.keeps_its_data().await {
                // Somebody has logged out meanwhile.
                Ok(true) => {
                    self.metrics.count(Change, Outcome::Absent);
                    return Ok(SessionState::none());
                }
                Ok(false) => self.unavailable(),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let epoch = self.redis.epoch().unwrap_or_default();
        let snapshot = Snapshot::of(id, &record, &rules.declared, epoch, state.verified);
        state.changes = all;
        self.switch.from_memory(());
        self.apply_offline(rules, state, &snapshot, error)
    }

    async fn touch(
        &self,
        mut state: SessionState,
        name: SessionName,
        mut record: Record,
    ) -> SessionState {
        if record.times.wants_touch(wall()) {
            match self.records.touch(name).await {
                Ok(Some(now)) => {
                    self.metrics.count(Touch, Outcome::Ok);
                    record.times.touched = now;
                    state.outdated.snapshot = true;
                }
                Ok(None) => {
                    self.metrics.count(Touch, Outcome::Absent);
                    return SessionState::none();
                }
                // The next request will.
                Err(_) => self.metrics.count(Touch, Outcome::Unavailable),
            }
        }
        state.origin = Origin::Redis(Box::new(record));
        state
    }

    /// A session that the client carries.
    fn continue_offline(
        &self,
        rules: &Rules,
        mut state: SessionState,
        mut snapshot: Snapshot,
    ) -> Result<SessionState, Error> {
        if state.is_changed() {
            let error = self.unavailable();
            return self.apply_offline(rules, state, &snapshot, error);
        }
        let now = wall();
        if snapshot.times.wants_touch(now) {
            snapshot.times.touched = now;
            state.outdated.snapshot = true;
        }
        state.origin = Origin::Snapshot(Box::new(snapshot));
        Ok(state)
    }

    /// Puts changes on top of what the client carries; `error` when it cannot continue_offline them.
    pub(super) fn apply_offline(
        &self,
        rules: &Rules,
        mut state: SessionState,
        snapshot: &Snapshot,
        error: Error,
    ) -> Result<SessionState, Error> {
        let changes = std::mem::take(&mut state.changes);
        let may_travel = changes.values.keys().all(|key| rules.declared.contains(key));
        let fits = |changed: &Snapshot| seal::fits(rules.room, rules.cookie, changed);
        let changed = may_travel
            .then(|| self.memory.marks.change(snapshot.id().name(), snapshot, &changes, fits))
            .flatten();
        let Some(mut changed) = changed else {
            self.metrics.count(Change, Outcome::Unavailable);
            return Err(error);
        };
        if let Some((idle, absolute)) = changed.changes.expiry {
            changed.times.idle = idle;
            changed.times.ends = changed.times.created.saturating_add(absolute);
        }
        changed.times.touched = changed.times.touched.max(wall());
        self.metrics.count(Change, Outcome::Stateless);
        state.origin = Origin::Snapshot(Box::new(changed));
        state.offline_changes = Changes::default();
        state.outdated.snapshot = true;
        Ok(state)
    }
}
