//! A new id for a session: the old one dies.

use std::collections::BTreeMap;

use super::{
    expiry::{Times, wall},
    held::{Base, Held, Renewal},
    id::SessionId,
    meter::{Operation::NewId, Outcome},
    record::{Changes, Record},
    rules::Rules,
    snapshot::Snapshot,
    store::{Inner, SessionStore},
};
use crate::Error;

/// All that is known of a session, and that is all there is. Values that were removed are there as such.
pub(super) struct Whole {
    pub(super) times: Times,
    verified: u64,
    pub(super) changes: Changes,
}

impl SessionStore {
    pub(super) async fn renew(
        &self,
        rules: &Rules,
        held: Held,
        old: SessionId,
        renewal: Renewal,
    ) -> Result<Held, Error> {
        let inner = &*self.inner;
        let Some(whole) = Whole::of(&held) else { return Err(inner.cannot_say()) };
        let old_ends = whole.times.ends;
        let mut changes = whole.changes.then(&held.changes);
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
        let subject = held.subject.as_deref();
        match inner.create(id, times, is_older, subject, &changes).await {
            Ok(Some(record)) => {
                let was_there = self.retire(old, old_ends).await;
                if is_older && !was_there {
                    // It was logged out while we were at it.
                    self.retire(id, times.ends).await;
                    inner.meter.count(NewId, Outcome::Refused);
                    return Ok(Held::nothing());
                }
                inner.meter.count(NewId, Outcome::Ok);
                Ok(inner.written(id, record))
            }
            Ok(None) => Err(inner.cannot_say()),
            Err(error) => {
                let mut born = Snapshot::born(id, times, held.subject.clone());
                born.verified = verified;
                let held = inner.born(rules, id, born, changes, error)?;
                inner.bury(old.name(), old_ends);
                inner.push_later(&self.inner);
                inner.meter.count(NewId, Outcome::Stateless);
                Ok(held)
            }
        }
    }

    /// Ends the old id. Whether it was still there, as far as can be known.
    async fn retire(&self, old: SessionId, ends: u64) -> bool {
        let inner = &*self.inner;
        inner.bury(old.name(), ends);
        match inner.delete_buried(&mut inner.redis.connection(), old.name(), true).await {
            Ok(was_there) => was_there,
            Err(_) => {
                inner.push_later(&self.inner);
                true
            }
        }
    }
}

impl Whole {
    /// `None`: Redis may hold more.
    pub(super) fn of(held: &Held) -> Option<Self> {
        let of_record = |record: &Record| -> BTreeMap<_, _> {
            let live = record.fields.iter().filter(|(_, field)| field.json.is_some());
            live.map(|(key, field)| (key.clone(), field.json.clone())).collect()
        };
        let (times, values, on_top) = match &held.base {
            Base::Nothing => return None,
            Base::Stored(record) => (record.times, of_record(record), &held.carried),
            Base::Carried(snapshot) if snapshot.is_complete() => {
                (snapshot.times, of_record(&snapshot.to_record()), &snapshot.changes)
            }
            Base::Carried(_) => return None,
        };
        let changes = Changes { values, expiry: None }.then(on_top);
        Some(Self { times, verified: held.verified, changes })
    }
}

impl Inner {
    /// Brings to Redis what was buried here.
    pub(super) async fn delete_buried(
        &self,
        connection: &mut crate::redis::Connection,
        name: super::id::SessionName,
        always: bool,
    ) -> Result<bool, Error> {
        let (tomb, now) = (self.memory.ended().sessions.get(name), wall());
        let Some(tomb) = tomb else { return Ok(false) };
        let stands = tomb.until.saturating_sub(now);
        let was_there = self.records.delete(connection, name, stands, always, None).await?;
        self.memory.ended().sessions.pushed(name, tomb.at);
        Ok(was_there)
    }
}
