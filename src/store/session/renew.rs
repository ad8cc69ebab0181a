//! A new id for a session: the old one dies.

use std::collections::BTreeMap;

use super::{
    expiry::{Times, wall},
    id::SessionId,
    metrics::{Operation::NewId, Outcome},
    record::{Changes, Record},
    rules::Rules,
    snapshot::Snapshot,
    state::{Origin, Renewal, SessionState},
    store::{Inner, SessionStore},
};
use crate::Error;

/// All that is known of a session, and that is all there is. Values that were removed are there as such.
pub(super) struct CompleteState {
    pub(super) times: Times,
    verified: u64,
    pub(super) changes: Changes,
}

impl SessionStore {
    pub(super) async fn renew(
        &self,
        rules: &Rules,
        state: SessionState,
        old: SessionId,
        renewal: Renewal,
    ) -> Result<SessionState, Error> {
        let inner = &*self.inner;
        let Some(whole) = CompleteState::of(&state) else { return Err(inner.unavailable()) };
        let old_ends = whole.times.ends;
        let mut changes = whole.changes.then(&state.changes);
        let (mut times, verified) = match renewal {
            Renewal::Cycle => (whole.times, whole.verified),
            Renewal::Login => {
                let times = Times::beginning(wall(), rules.expiry);
                (times, times.created)
            }
        };
        if let Some((idle, absolute)) = changes.expiry.take() {
            (times.idle, times.ends) = (idle, times.created.saturating_add(absolute));
        }
        let id = SessionId::random();
        let is_older = renewal == Renewal::Cycle;
        let subject = state.subject.as_deref();
        match inner.create_record(id, times, is_older, subject, &changes).await {
            Ok(Some(record)) => {
                let was_there = self.end_old(old, old_ends).await;
                if is_older && !was_there {
                    // It was logged out while we were at it.
                    self.end_old(id, times.ends).await;
                    inner.metrics.count(NewId, Outcome::Refused);
                    return Ok(SessionState::none());
                }
                inner.metrics.count(NewId, Outcome::Ok);
                Ok(inner.created(id, record))
            }
            Ok(None) => Err(inner.unavailable()),
            Err(error) => {
                let mut snapshot = Snapshot::new_offline(id, times, state.subject.clone());
                snapshot.verified = verified;
                let state = inner.create_offline(rules, id, snapshot, changes, error)?;
                inner.insert_tombstone(old.name(), old_ends);
                inner.push_later(&self.inner);
                inner.metrics.count(NewId, Outcome::Stateless);
                Ok(state)
            }
        }
    }

    /// Ends the old id. Whether it was still there, as far as can be known.
    async fn end_old(&self, old: SessionId, ends: u64) -> bool {
        let inner = &*self.inner;
        inner.insert_tombstone(old.name(), ends);
        match inner.delete_ended(&mut inner.redis.connection(), old.name(), true).await {
            Ok(was_there) => was_there,
            Err(_) => {
                inner.push_later(&self.inner);
                true
            }
        }
    }
}

impl CompleteState {
    /// `None`: Redis may hold more.
    pub(super) fn of(state: &SessionState) -> Option<Self> {
        let of_record = |record: &Record| -> BTreeMap<_, _> {
            let live = record.fields.iter().filter(|(_, field)| field.json.is_some());
            live.map(|(key, field)| (key.clone(), field.json.clone())).collect()
        };
        let (times, values, on_top) = match &state.origin {
            Origin::None => return None,
            Origin::Redis(record) => (record.times, of_record(record), &state.offline_changes),
            Origin::Snapshot(snapshot) if snapshot.is_complete() => {
                (snapshot.times, of_record(&snapshot.to_record()), &snapshot.changes)
            }
            Origin::Snapshot(_) => return None,
        };
        let changes = Changes { values, expiry: None }.then(on_top);
        Some(Self { times, verified: state.verified, changes })
    }
}

impl Inner {
    /// Brings to Redis what was buried here.
    pub(super) async fn delete_ended(
        &self,
        connection: &mut crate::redis::Connection,
        name: super::id::SessionName,
        always: bool,
    ) -> Result<bool, Error> {
        let (tombstone, now) = (self.memory.ended().sessions.get(name), wall());
        let Some(tombstone) = tombstone else { return Ok(false) };
        let stands = tombstone.until.saturating_sub(now);
        let was_there = self.records.delete(connection, name, stands, always, None).await?;
        self.memory.ended().sessions.pushed(name, tombstone.at);
        Ok(was_there)
    }
}
