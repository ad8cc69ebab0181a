//! A session that begins: in Redis, or with the client.

use super::{
    expiry::{Times, wall},
    id::{SessionId, SessionName},
    metrics::{Operation::Create, Outcome},
    record::{Changes, Record},
    redis::{Created, NewRecord},
    rules::Rules,
    snapshot::Snapshot,
    state::{Origin, SessionState},
    store::Inner,
};
use crate::Error;

#[cfg(feature = "tower-sessions")]
impl super::store::SessionStore {
    /// A session under an id that somebody else has chosen. `None`: it is taken, or was logged out.
    ///
    /// # Errors
    ///
    /// It cannot be written now, and there is no room to keep it.
    pub(super) async fn create(
        &self,
        rules: &Rules,
        id: SessionId,
        times: Times,
        changes: &Changes,
    ) -> Result<Option<SessionState>, Error> {
        self.inner.create_with_id(rules, id, times, None, changes.clone()).await
    }
}

impl Inner {
    /// A session that did not exist before.
    pub(super) async fn create(
        &self,
        rules: &Rules,
        mut state: SessionState,
    ) -> Result<SessionState, Error> {
        let mut times = Times::beginning(wall(), rules.expiry);
        if let Some((idle, absolute)) = state.changes.expiry {
            (times.idle, times.ends) = (idle, times.created.saturating_add(absolute));
        }
        let changes = std::mem::take(&mut state.changes);
        let id = SessionId::random();
        let state = self.create_with_id(rules, id, times, state.subject, changes).await?;
        // A new id is neither taken nor logged out.
        state.ok_or_else(|| self.unavailable())
    }

    /// The same with an id. `None`: it is taken, or was logged out.
    pub(super) async fn create_with_id(
        &self,
        rules: &Rules,
        id: SessionId,
        times: Times,
        subject: Option<String>,
        changes: Changes,
    ) -> Result<Option<SessionState>, Error> {
        match self.create_record(id, times, false, subject.as_deref(), &changes).await {
            Ok(Some(record)) => {
                self.metrics.count(Create, Outcome::Ok);
                Ok(Some(self.created(id, record)))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                let snapshot = Snapshot::new_offline(id, times, subject);
                let state = self.create_offline(rules, id, snapshot, changes, error)?;
                self.metrics.count(Create, Outcome::Stateless);
                Ok(Some(state))
            }
        }
    }

    /// Writes a new record. `None`: the id was logged out.
    pub(super) async fn create_record(
        &self,
        id: SessionId,
        times: Times,
        is_older: bool,
        subject: Option<&str>,
        changes: &Changes,
    ) -> Result<Option<Record>, Error> {
        let name = id.name();
        if let Some(subject) = subject {
            self.records.enlist(SessionName::of(subject.as_bytes()), name, times.ends).await?;
        }
        let values = changes.values.iter();
        let values = values.filter_map(|(key, json)| Some((key.as_str(), json.as_deref()?)));
        let new = NewRecord { times, is_older, subject, values: values.collect() };
        let Created::At(now) = self.records.create(name, &new).await? else { return Ok(None) };
        let created = if is_older { times.created } else { now };
        let ends = created.saturating_add(times.ends.saturating_sub(times.created));
        let mut record = Record {
            version: 1,
            times: Times { created, touched: now, idle: times.idle, ends },
            subject: subject.map(str::to_owned),
            fields: Default::default(),
        };
        let values = changes.values.iter().filter(|(_, json)| json.is_some());
        let values = values.map(|(key, json)| (key.clone(), json.clone())).collect();
        record.apply(&Changes { values, expiry: None }, 1);
        Ok(Some(record))
    }

    /// A session that Redis has just taken, under a new id.
    pub(super) fn created(&self, id: SessionId, record: Record) -> SessionState {
        self.memory.marks.raise(id.name(), record.version);
        self.memory.note_lifetime(record.times.ends.saturating_sub(record.times.created));
        let mut state = SessionState::from_origin(id, Origin::Redis(Box::new(record)), wall());
        state.outdated.id = true;
        state.outdated.snapshot = true;
        state
    }

    /// The same in an outage: the client carries all of it.
    pub(super) fn create_offline(
        &self,
        rules: &Rules,
        id: SessionId,
        snapshot: Snapshot,
        changes: Changes,
        error: Error,
    ) -> Result<SessionState, Error> {
        let mut state = SessionState::from_origin(id, Origin::None, snapshot.verified);
        state.subject = snapshot.subject.clone();
        state.changes = changes;
        state.outdated.id = true;
        self.memory.note_lifetime(snapshot.times.ends.saturating_sub(snapshot.times.created));
        self.switch.from_memory(());
        self.apply_offline(rules, state, &snapshot, error)
    }
}
