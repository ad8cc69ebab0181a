//! Without Redis: a session is loaded from its snapshot, changed in it, or begins with it.

use super::{
    high_water_marks::Reconciled,
    id::{IdWithHash, SessionId},
    law::{self, Offline},
    loaded::Loaded,
    metrics::{
        Operation::{Change, Load},
        Outcome,
    },
    record::Changes,
    seal,
    sessions::Sessions,
    snapshot::Snapshot,
    standing::Standing,
    state::{Origin, SessionState},
};
use crate::{Error, units::wall_millis};

impl Sessions {
    /// Redis cannot be asked (`error` says why): the client's copy has to do.
    pub(super) fn load_offline(
        &self,
        who: IdWithHash,
        snapshot: Option<Snapshot>,
        error: Error,
    ) -> Result<Loaded, Error> {
        let Some(mut snapshot) = snapshot else { return Err(error) };
        if self.memory.is_revoked(snapshot.subject.as_deref(), snapshot.times.created) {
            return Ok(Loaded::none(Load, Outcome::Refused));
        }
        let standing = Standing::of_snapshot(&snapshot);
        let cutoff = self.memory.cutoff(standing);
        match law::offline(&snapshot, wall_millis(), self.rules.max_offline_age, cutoff) {
            Offline::Honoured => {}
            Offline::Over => return Ok(Loaded::none(Load, Outcome::Absent)),
            Offline::CannotJudge => return Err(error),
        }
        let is_updated = match self.memory.reconcile(who.name, &mut snapshot) {
            Reconciled::Current => false,
            Reconciled::Updated => true,
            Reconciled::Stale => return Err(error),
        };
        self.memory.note_lifetime(snapshot.times.lifetime());
        self.memory.marks(standing).observe(who.name, &snapshot);
        let verified = snapshot.verified;
        let mut state =
            SessionState::from_origin(who.id, Origin::Snapshot(Box::new(snapshot)), verified);
        state.outdated.snapshot = is_updated;
        Ok(Loaded { state, operation: Load, outcome: Outcome::Stateless, conflicts: 0 })
    }

    /// A session that begins with the client, which gets all of it.
    pub(super) fn create_offline(
        &self,
        id: SessionId,
        mut snapshot: Snapshot,
        changes: Changes,
        error: Error,
    ) -> Result<SessionState, Error> {
        snapshot.epoch = self.epoch();
        let mut state = SessionState::from_origin(id, Origin::None, snapshot.verified);
        state.subject = snapshot.subject.clone();
        state.changes = changes;
        state.outdated.id = true;
        self.memory.note_lifetime(snapshot.times.lifetime());
        self.switch.record_fallback();
        self.apply_offline(state, &snapshot, error)
    }

    /// A session that goes on with the client.
    pub(super) fn continue_offline(
        &self,
        mut state: SessionState,
        mut snapshot: Snapshot,
    ) -> Result<SessionState, Error> {
        if state.is_changed() {
            return self.apply_offline(state, &snapshot, self.unavailable());
        }
        let now = wall_millis();
        if snapshot.times.touched < now && snapshot.times.wants_touch(now) {
            snapshot.times.touched = now;
            state.outdated.snapshot = true;
        }
        state.origin = Origin::Snapshot(Box::new(snapshot));
        Ok(state)
    }

    /// Puts the state's changes on top of a snapshot.
    ///
    /// # Errors
    ///
    /// `error`, when the client cannot carry them: a key that is not declared, or no room.
    pub(super) fn apply_offline(
        &self,
        mut state: SessionState,
        snapshot: &Snapshot,
        error: Error,
    ) -> Result<SessionState, Error> {
        let changes = std::mem::take(&mut state.changes);
        let may_travel = changes.values.keys().all(|key| self.rules.declared.contains(key));
        let fits = |changed: &Snapshot| seal::fits(self.rules.room, &self.rules.cookie, changed);
        let changed = may_travel.then(|| self.memory.change(snapshot, &changes, fits)).flatten();
        let Some(mut changed) = changed else {
            self.metrics.count(Change, Outcome::Unavailable);
            return Err(error);
        };
        if let Some(expiry) = changed.changes.expiry {
            changed.times.set(expiry);
        }
        changed.times.touched = changed.times.touched.max(wall_millis());
        self.metrics.count(Change, Outcome::Stateless);
        state.origin = Origin::Snapshot(Box::new(changed));
        state.offline_changes = Changes::default();
        state.outdated.snapshot = true;
        Ok(state)
    }
}
