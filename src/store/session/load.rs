//! From what the client shows to a session.

use super::{
    expiry::{millis, wall},
    high_water_marks::{KnownCookie, Reconciled},
    id::{IdWithHash, SessionId, SessionName},
    law::{self, Offline},
    metrics::{Operation::Load, Outcome, Replayed},
    record::{Changes, Record},
    rules::Rules,
    seal::{self, Opened, Opening},
    snapshot::Snapshot,
    state::{Origin, SessionState},
    store::{Inner, SessionStore},
};
use crate::Error;

/// The copy that the client, or somebody for it, has.
pub(super) enum Copy<'a> {
    None,
    Sealed(&'a str),
    #[cfg_attr(not(feature = "tower-sessions"), allow(dead_code))]
    Open(Box<Snapshot>),
}

/// What the client's snapshot cookie is worth telling it about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Sealed with the key that seals.
    Current,
    /// It is missing, none of ours, or sealed with a key that seals no more.
    Outdated,
    /// Sealed with a key that another instance may have: it is left as it is.
    Foreign,
}

impl SessionStore {
    /// The session of a client that shows this id and this snapshot.
    ///
    /// # Errors
    ///
    /// Only Redis could say whether there is one, and it cannot be asked.
    pub(crate) async fn load(
        &self,
        rules: &Rules,
        id: SessionId,
        sealed: Option<&str>,
    ) -> Result<SessionState, Error> {
        self.load_with(rules, id, sealed.map_or(Copy::None, Copy::Sealed)).await
    }

    /// The same, with a copy that may be open already.
    pub(super) async fn load_with(
        &self,
        rules: &Rules,
        id: SessionId,
        copy: Copy<'_>,
    ) -> Result<SessionState, Error> {
        let inner = &*self.inner;
        let who = IdWithHash::from(id);
        if inner.memory.has_ended(who.name) {
            inner.metrics.count(Load, Outcome::Refused);
            inner.push_later(&self.inner);
            return Ok(SessionState::none());
        }
        let answer = match inner.redis.monitor().can_read() {
            true => inner.records.load(who.name).await,
            false => Err(inner.unavailable()),
        };
        let loaded = match answer {
            Ok(Some(record)) if inner.is_current(rules, who.name, &record, &copy) => {
                inner.metrics.count(Load, Outcome::Ok);
                Ok(inner.loaded(who, record, wall(), Changes::default(), false))
            }
            // Seldom, and long: apart, so that the future of every read stays small.
            Ok(Some(record)) => Box::pin(inner.found(rules, who, record, copy)).await,
            Ok(None) => {
                let snapshot = inner.open(rules, id, copy).0;
                Box::pin(inner.missing(rules, who, snapshot)).await
            }
            // An error about this record harms this session alone, as if Redis were away for it.
            Err(error) => inner.offline(rules, who, inner.open_cached(rules, who, copy), error),
        };
        if loaded.is_err() {
            inner.metrics.count(Load, Outcome::Unavailable);
        }
        loaded
    }

    /// The snapshot of this very session, if it opens: an id that we vouch for.
    pub(crate) fn open_snapshot(
        &self,
        rules: &Rules,
        id: SessionId,
        sealed: Option<&str>,
    ) -> Option<Snapshot> {
        self.inner.open(rules, id, sealed.map_or(Copy::None, Copy::Sealed)).0
    }
}

impl Inner {
    fn open(&self, rules: &Rules, id: SessionId, copy: Copy<'_>) -> (Option<Snapshot>, Shown) {
        let sealed = match copy {
            Copy::None => return (None, Shown::Outdated),
            Copy::Open(snapshot) => return (Some(*snapshot), Shown::Current),
            Copy::Sealed(sealed) => sealed,
        };
        match seal::open(&self.keys, rules.cookie, sealed) {
            Opening::Opened(opened) if opened.snapshot.id() == id => {
                let Opened { snapshot, is_outdated } = *opened;
                let shown = if is_outdated { Shown::Outdated } else { Shown::Current };
                (Some(snapshot), shown)
            }
            Opening::UnknownKey => (None, Shown::Foreign),
            Opening::Opened(_) | Opening::Rejected => (None, Shown::Outdated),
        }
    }

    /// The same without Redis, where a client shows the same copy again and again.
    fn open_cached(&self, rules: &Rules, who: IdWithHash, copy: Copy<'_>) -> Option<Snapshot> {
        let Copy::Sealed(sealed) = copy else { return self.open(rules, who.id, copy).0 };
        let known = self.snapshots.get(who.name, rules.cookie, sealed);
        known.or_else(|| {
            let snapshot = self.open(rules, who.id, copy).0?;
            self.snapshots.put(who.name, rules.cookie, sealed, &snapshot);
            Some(snapshot)
        })
    }

    /// Redis has just what the client has, and that is known without opening its copy.
    fn is_current(
        &self,
        rules: &Rules,
        name: SessionName,
        record: &Record,
        copy: &Copy<'_>,
    ) -> bool {
        let Copy::Sealed(shown) = copy else { return false };
        let Some((version, Some(sealed))) = self.memory.marks.newest(name) else { return false };
        version == record.version
            && Some(sealed.epoch) == self.redis.epoch()
            && sealed.hash == self.memory.marks.hash(shown)
            && sealed.verified.saturating_add(millis(rules.refresh)) > wall()
            && !self.may_have_ended(record)
    }

    /// It may have been ended here, for all that Redis knows.
    fn may_have_ended(&self, record: &Record) -> bool {
        record.times.touched <= self.memory.unknown()
            || self.memory.is_revoked(record.subject.as_deref(), record.times.created)
    }

    /// Redis has it.
    async fn found(
        &self,
        rules: &Rules,
        who: IdWithHash,
        record: Record,
        copy: Copy<'_>,
    ) -> Result<SessionState, Error> {
        let name = who.name;
        if self.memory.is_revoked(record.subject.as_deref(), record.times.created) {
            self.metrics.count(Load, Outcome::Refused);
            return Ok(SessionState::none());
        }
        let sealed = match copy {
            Copy::Sealed(sealed) => Some(self.memory.marks.hash(sealed)),
            _ => None,
        };
        let (snapshot, shown) = self.open(rules, who.id, copy);
        if record.times.touched <= self.memory.unknown() {
            // Not noted here, where there is no room; if it fails now, the next request tries again.
            let connection = &mut self.redis.connection();
            let _ = self.records.delete(connection, name, 0, false, None).await;
            self.metrics.count(Load, Outcome::Refused);
            return Ok(SessionState::none());
        }
        if let Some(snapshot) = snapshot.as_ref().filter(|state| state.version > record.version) {
            // Redis came back older than what it had verified.
            return self.restore(rules, who, snapshot).await;
        }
        if self.memory.marks.newest(name).is_some_and(|(seen, _)| seen > record.version) {
            self.metrics.count(Load, Outcome::Refused);
            return Ok(SessionState::none());
        }
        self.metrics.count(Load, Outcome::Ok);
        let now = wall();
        let offline = match snapshot.clone() {
            Some(mut snapshot) => {
                self.memory.marks.reconcile(name, &mut snapshot);
                self.rebase(&record, snapshot)
            }
            None => Changes::default(),
        };
        let is_current = shown == Shown::Foreign
            || snapshot.as_ref().is_some_and(|snapshot| {
                shown == Shown::Current
                    && snapshot.version == record.version
                    && snapshot.changes.is_empty()
                    && Some(snapshot.epoch) == self.redis.epoch()
                    && snapshot.verified.saturating_add(millis(rules.refresh)) > now
            });
        let state = self.loaded(who, record, now, offline, !is_current);
        if let (true, Some(hash), Some(snapshot)) = (is_current, sealed, snapshot) {
            let sealed = KnownCookie { hash, verified: snapshot.verified, epoch: snapshot.epoch };
            self.memory.marks.set_cookie(name, snapshot.version, sealed);
        }
        Ok(state)
    }

    pub(super) fn loaded(
        &self,
        who: IdWithHash,
        record: Record,
        verified: u64,
        offline: Changes,
        is_outdated: bool,
    ) -> SessionState {
        self.memory.marks.raise(who.name, record.version);
        self.memory.note_lifetime(record.times.ends.saturating_sub(record.times.created));
        let mut state =
            SessionState::from_origin(who.id, Origin::Redis(Box::new(record)), verified);
        state.offline_changes = offline;
        state.outdated.snapshot = is_outdated;
        state
    }

    /// What was changed without Redis, without what somebody else has changed in Redis since.
    pub(super) fn rebase(&self, record: &Record, snapshot: Snapshot) -> Changes {
        let Snapshot { version, mut changes, .. } = snapshot;
        let mut conflicts = 0;
        changes.values.retain(|key, json| {
            let Some(field) = record.fields.get(key) else { return json.is_some() };
            if field.version > version && field.json != *json {
                conflicts += 1;
            }
            field.version <= version && field.json != *json
        });
        if record.version > version {
            changes.expiry = None;
        }
        if conflicts > 0 {
            self.metrics.replayed(Replayed::Discarded, conflicts);
        }
        changes
    }

    /// Redis cannot be asked (`error` says why): what the client carries has to do.
    pub(super) fn offline(
        &self,
        rules: &Rules,
        who: IdWithHash,
        snapshot: Option<Snapshot>,
        error: Error,
    ) -> Result<SessionState, Error> {
        let Some(mut snapshot) = snapshot else { return Err(error) };
        let now = wall();
        if self.memory.is_revoked(snapshot.subject.as_deref(), snapshot.times.created) {
            self.metrics.count(Load, Outcome::Refused);
            return Ok(SessionState::none());
        }
        match law::offline(&snapshot, now, rules.max_offline_age, self.memory.cutoff()) {
            Offline::Honoured => {}
            Offline::Over => {
                self.metrics.count(Load, Outcome::Absent);
                return Ok(SessionState::none());
            }
            Offline::CannotJudge => return Err(error),
        }
        let is_updated = match self.memory.marks.reconcile(who.name, &mut snapshot) {
            Reconciled::Current => false,
            Reconciled::Updated => true,
            Reconciled::Stale => return Err(error),
        };
        self.metrics.count(Load, Outcome::Stateless);
        self.switch.from_memory(());
        self.memory.note_lifetime(snapshot.times.ends.saturating_sub(snapshot.times.created));
        self.memory.marks.observe(who.name, &snapshot);
        let verified = snapshot.verified;
        let mut state =
            SessionState::from_origin(who.id, Origin::Snapshot(Box::new(snapshot)), verified);
        state.outdated.snapshot = is_updated;
        Ok(state)
    }
}
