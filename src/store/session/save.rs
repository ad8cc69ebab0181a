//! From what a request has changed to Redis, or to what the client carries.

use super::{
    change::Changed,
    id::{SessionId, SessionName},
    metrics::{
        Operation::{Change, Touch, WriteBack},
        Outcome,
    },
    record::{Changes, Record},
    sessions::Sessions,
    snapshot::Snapshot,
    standing::Standing,
    state::{Origin, SessionState},
};
use crate::{Error, units::wall_millis};

impl Sessions {
    /// Writes what was changed. The session that comes back has no changes left.
    ///
    /// # Errors
    ///
    /// It cannot be written now, and the client cannot carry it: a key that is not declared, or no
    /// room.
    pub(crate) async fn save(&self, mut state: SessionState) -> Result<SessionState, Error> {
        if state.is_new() {
            return self.create(state).await;
        }
        let Some(id) = state.id else { return Ok(state) };
        if self.memory.has_ended(id.name()) {
            return Ok(SessionState::none());
        }
        if let Some(renewal) = state.renewal {
            return self.renew(state, id, renewal).await;
        }
        match std::mem::replace(&mut state.origin, Origin::None) {
            Origin::None => Ok(state),
            Origin::Redis(record) if state.is_changed() => self.change(state, id, *record).await,
            Origin::Redis(record) => Ok(self.touch(state, id.name(), *record).await),
            Origin::Snapshot(snapshot) => self.continue_offline(state, *snapshot),
        }
    }

    async fn change(
        &self,
        mut state: SessionState,
        id: SessionId,
        record: Record,
    ) -> Result<SessionState, Error> {
        let offline = std::mem::take(&mut state.offline_changes);
        let from_offline = offline.values.len() as u64;
        let changes = offline.then(&state.changes);
        let error = match self.records.change(id.name(), &record, &changes).await {
            Ok(Some(Changed { record, conflicts })) => {
                self.count_change(conflicts, from_offline);
                let marks = self.memory.marks(Standing::of_record(&record));
                marks.raise(id.name(), record.version);
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
        let snapshot =
            Snapshot::of(id, &record, &self.rules.declared, self.epoch(), state.verified);
        state.changes = changes;
        self.switch.record_fallback();
        self.apply_offline(state, &snapshot, error)
    }

    fn count_change(&self, conflicts: u64, from_offline: u64) {
        let outcome = if conflicts == 0 { Outcome::Ok } else { Outcome::Conflict };
        self.metrics.count(Change, outcome);
        if from_offline > 0 {
            self.metrics.count(WriteBack, outcome);
            self.metrics.replayed.applied.add(from_offline);
        }
    }

    async fn touch(
        &self,
        mut state: SessionState,
        name: SessionName,
        mut record: Record,
    ) -> SessionState {
        if record.times.wants_touch(wall_millis()) {
            match self.records.count_use(name, &mut record).await {
                Ok(true) => {
                    self.metrics.count(Touch, Outcome::Ok);
                    state.outdated.snapshot = true;
                }
                Ok(false) => {
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
}
