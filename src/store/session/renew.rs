//! A new id for a session: the old one dies.

use super::{
    ending::Ending,
    expiry::Times,
    id::SessionId,
    metrics::{Operation::NewId, Outcome},
    new_record::NewRecord,
    record::Changes,
    sessions::Sessions,
    snapshot::Snapshot,
    state::{Renewal, SessionState},
};
use crate::{Error, units::wall_millis};

impl Sessions {
    pub(super) async fn renew(
        &self,
        state: SessionState,
        old: SessionId,
        renewal: Renewal,
    ) -> Result<SessionState, Error> {
        let before = state.times().zip(state.ending());
        let Some((old_times, old_ending)) = before else { return Err(self.unavailable()) };
        let kept = match renewal {
            Renewal::Replace => Changes::default(),
            Renewal::Cycle | Renewal::Login => match state.complete() {
                Some(values) => values,
                None => return Err(self.unavailable()),
            },
        };
        let mut changes = kept.then(&state.changes);
        let is_older = renewal == Renewal::Cycle;
        let (mut times, verified) = match is_older {
            true => (old_times, state.verified),
            false => {
                let times = Times::beginning(wall_millis(), self.rules.expiry);
                (times, times.created)
            }
        };
        if let Some(expiry) = changes.expiry.take() {
            times.set(expiry);
        }
        let id = SessionId::random();
        let new = NewRecord {
            times,
            is_older,
            // A new id alone does not say that somebody has authenticated.
            is_restored: is_older && (state.is_restored() || state.is_stateless()),
            subject: state.subject.as_deref(),
            changes: &changes,
        };
        match self.create_record(id, &new).await {
            Ok(Some(record)) => {
                let was_there = self.end_id(old, old_ending).await;
                if is_older && !was_there {
                    // It was logged out while it got its new id.
                    self.end_id(id, Ending { until: times.ends, ..old_ending }).await;
                    self.metrics.count(NewId, Outcome::Refused);
                    return Ok(SessionState::none());
                }
                self.metrics.count(NewId, Outcome::Ok);
                Ok(self.created(id, record))
            }
            Ok(None) => Err(self.unavailable()),
            Err(error) => {
                let mut snapshot = Snapshot::new_offline(id, times, state.subject);
                snapshot.verified = verified;
                let state = self.create_offline(id, snapshot, changes, error)?;
                self.insert_tombstone(old.name(), old_ending);
                self.replay.arm();
                self.metrics.count(NewId, Outcome::Stateless);
                Ok(state)
            }
        }
    }

    /// Ends an id for good. Whether it was still there, as far as can be known.
    async fn end_id(&self, id: SessionId, ending: Ending) -> bool {
        self.insert_tombstone(id.name(), ending);
        // Before the await, in which the client may go away.
        let unless_pushed = self.replay.guard();
        match self.push_session(&mut self.redis.connection(), id.name()).await {
            Ok(was_there) => {
                unless_pushed.settled();
                was_there
            }
            Err(_) => true,
        }
    }
}
