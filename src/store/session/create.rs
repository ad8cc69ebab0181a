//! A session that begins: in Redis, or with the client.

use super::{
    expiry::Times,
    id::{IdWithHash, SessionId, SessionName},
    metrics::{Operation::Create, Outcome},
    new_record::NewRecord,
    record::{Changes, Record},
    redis::Created,
    sessions::Sessions,
    snapshot::Snapshot,
    state::SessionState,
};
use crate::{Error, units::wall_millis};

impl Sessions {
    /// A session that did not exist before.
    pub(super) async fn create(&self, mut state: SessionState) -> Result<SessionState, Error> {
        let mut times = Times::beginning(wall_millis(), self.rules.expiry);
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
        let name = id.name();
        if let Some(subject) = new.subject {
            let subject = SessionName::of(subject.as_bytes());
            self.records.enlist(subject, name, new.times.ends).await?;
        }
        Ok(match self.records.create(name, new.record(), new.is_older).await? {
            Created::Stored(record) => Some(record),
            Created::Gone | Created::Taken => None,
        })
    }

    /// A session that Redis has just taken, under a new id.
    pub(super) fn created(&self, id: SessionId, record: Record) -> SessionState {
        let mut state = self.stored(IdWithHash::from(id), record);
        state.outdated.id = true;
        state.outdated.snapshot = true;
        state
    }
}
