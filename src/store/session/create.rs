//! A session that begins: in Redis, or with the client.

use super::{
    expiry::{Times, wall},
    id::{IdWithHash, SessionId, SessionName},
    metrics::{Operation::Create, Outcome},
    record::{Changes, Field, Record},
    redis::{Created, NewRecord},
    sessions::Sessions,
    snapshot::Snapshot,
    state::SessionState,
};
use crate::Error;

impl Sessions {
    /// A session that did not exist before.
    pub(super) async fn create(&self, mut state: SessionState) -> Result<SessionState, Error> {
        let mut times = Times::beginning(wall(), self.rules.expiry);
        if let Some(expiry) = state.changes.expiry {
            times.set(expiry);
        }
        let changes = std::mem::take(&mut state.changes);
        let id = SessionId::random();
        let state = self.create_with_id(id, times, state.subject, changes).await?;
        // A new id is neither taken nor logged out.
        state.ok_or_else(|| self.unavailable())
    }

    /// The same with an id. `None`: it is taken, or was logged out.
    pub(super) async fn create_with_id(
        &self,
        id: SessionId,
        times: Times,
        subject: Option<String>,
        changes: Changes,
    ) -> Result<Option<SessionState>, Error> {
        let new = NewRecord {
            times,
            is_older: false,
            is_restored: false,
            subject: subject.as_deref(),
            changes: &changes,
        };
        match self.create_record(id, &new).await {
            Ok(created) => Ok(created.map(|record| {
                self.metrics.count(Create, Outcome::Ok);
                self.created(id, record)
            })),
            Err(error) => {
                let snapshot = Snapshot::new_offline(id, times, subject);
                let state = self.create_offline(id, snapshot, changes, error)?;
                self.metrics.count(Create, Outcome::Stateless);
                Ok(Some(state))
            }
        }
    }

    /// Writes a new record. `None`: the id is taken, or was logged out.
    pub(super) async fn create_record(
        &self,
        id: SessionId,
        new: &NewRecord<'_>,
    ) -> Result<Option<Record>, Error> {
        let NewRecord { times, is_older, is_restored, subject, changes } = *new;
        let name = id.name();
        if let Some(subject) = subject {
            self.records.enlist(SessionName::of(subject.as_bytes()), name, times.ends).await?;
        }
        let Created::At(now) = self.records.create(name, new).await? else { return Ok(None) };
        let created = if is_older { times.created } else { now };
        let ends = created.saturating_add(times.lifetime());
        let live = changes.values.iter().filter(|(_, json)| json.is_some());
        Ok(Some(Record {
            version: 1,
            times: Times { created, touched: now, idle: times.idle, ends },
            subject: subject.map(str::to_owned),
            is_restored,
            fields: live
                .map(|(key, json)| (key.clone(), Field { version: 1, json: json.clone() }))
                .collect(),
        }))
    }

    /// A session that Redis has just taken, under a new id.
    pub(super) fn created(&self, id: SessionId, record: Record) -> SessionState {
        let mut state = self.stored(IdWithHash::from(id), record);
        state.outdated.id = true;
        state.outdated.snapshot = true;
        state
    }
}
