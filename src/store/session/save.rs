//! From what a request has changed to Redis, or to what the client carries.

use std::borrow::Cow;

use super::{
    expiry::wall,
    held::{Base, Held},
    id::{SessionId, SessionName},
    marks::Sealed,
    meter::{
        Operation::{Change, Touch, WriteBack},
        Outcome, Replayed,
    },
    record::{Changes, Record},
    rules::Rules,
    seal,
    snapshot::Snapshot,
    store::{Inner, SessionStore},
};
use crate::Error;

/// What the client is to be given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// A new id.
    pub(crate) id: Option<SessionId>,
    /// A snapshot, sealed.
    pub(crate) snapshot: Option<String>,
    /// For how long it is to keep them, in ms.
    pub(crate) keep: u64,
}

impl SessionStore {
    /// Writes what was changed. The session that comes back has no changes left.
    ///
    /// # Errors
    ///
    /// It cannot be written now, and the client cannot carry it: a key that is not declared, or no room.
    pub(crate) async fn save(&self, rules: &Rules, mut held: Held) -> Result<Held, Error> {
        let inner = &*self.inner;
        if held.begins() {
            return inner.begin(rules, held).await;
        }
        let Some(id) = held.id else { return Ok(held) };
        if inner.memory.has_ended(id.name()) {
            return Ok(Held::nothing());
        }
        if let Some(renewal) = held.renewal {
            return self.renew(rules, held, id, renewal).await;
        }
        match std::mem::replace(&mut held.base, Base::Nothing) {
            Base::Nothing => Ok(held),
            Base::Stored(record) if held.is_changed() => {
                inner.change(rules, held, id, *record).await
            }
            Base::Stored(record) => Ok(inner.touch(held, id.name(), *record).await),
            Base::Carried(snapshot) => inner.carry(rules, held, *snapshot),
        }
    }

    /// What the client is to be given after that. Nothing, when the session has ended meanwhile.
    pub(crate) fn give(&self, rules: &Rules, held: &Held) -> Given {
        let inner = &*self.inner;
        let Some(id) = held.id.filter(|id| !inner.memory.has_ended(id.name())) else {
            return Given::default();
        };
        let (snapshot, ends) = match &held.base {
            Base::Nothing => return Given::default(),
            Base::Stored(record) => {
                let epoch = self.epoch();
                let of = || Snapshot::of(id, record, &rules.declared, epoch, held.verified);
                (held.outdated.snapshot.then(|| Cow::Owned(of())), record.times.ends)
            }
            Base::Carried(snapshot) => {
                let snapshot = held.outdated.snapshot.then_some(Cow::Borrowed(&**snapshot));
                (snapshot, held.times().map_or(0, |times| times.ends))
            }
        };
        let holds = snapshot.as_ref().map(|snapshot| (snapshot.version, snapshot.epoch));
        let snapshot = snapshot
            .and_then(|snapshot| seal::seal(&inner.keys, rules.cookie, snapshot, &rules.declared));
        if let (Base::Stored(_), Some((version, epoch)), Some(sealed)) =
            (&held.base, holds, &snapshot)
        {
            let marks = &inner.memory.marks;
            let sealed = Sealed { hash: marks.hash(sealed), verified: held.verified, epoch };
            marks.holds(id.name(), version, sealed);
        }
        Given { id: held.outdated.id.then_some(id), snapshot, keep: ends.saturating_sub(wall()) }
    }
}

impl Inner {
    async fn change(
        &self,
        rules: &Rules,
        mut held: Held,
        id: SessionId,
        mut record: Record,
    ) -> Result<Held, Error> {
        let name = id.name();
        let carried = std::mem::take(&mut held.carried);
        let count_carried = carried.values.len() as u64;
        let all = carried.then(&held.changes);
        let error = match self.records.change(name, record.version, &all).await {
            Ok(Some(changed)) => {
                match changed.whole {
                    Some(whole) => record = whole,
                    None => record.apply(&all, changed.version),
                }
                record.times.touched = changed.now;
                self.memory.marks.raise(name, record.version);
                let outcome = if changed.conflicts == 0 { Outcome::Ok } else { Outcome::Conflict };
                self.meter.count(Change, outcome);
                if count_carried > 0 {
                    self.meter.count(WriteBack, outcome);
                    self.meter.replayed(Replayed::Applied, count_carried);
                }
                held.changes = Changes::default();
                held.base = Base::Stored(Box::new(record));
                held.outdated.snapshot = true;
                return Ok(held);
            }
            Ok(None) => match self.redis.keeps_its_data().await {
                // Somebody has logged out meanwhile.
                Ok(true) => {
                    self.meter.count(Change, Outcome::Absent);
                    return Ok(Held::nothing());
                }
                Ok(false) => self.cannot_say(),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let epoch = self.redis.epoch().unwrap_or_default();
        let snapshot = Snapshot::of(id, &record, &rules.declared, epoch, held.verified);
        held.changes = all;
        self.switch.from_memory(());
        self.put_on(rules, held, &snapshot, error)
    }

    async fn touch(&self, mut held: Held, name: SessionName, mut record: Record) -> Held {
        if record.times.wants_touch(wall()) {
            match self.records.touch(name).await {
                Ok(Some(now)) => {
                    self.meter.count(Touch, Outcome::Ok);
                    record.times.touched = now;
                    held.outdated.snapshot = true;
                }
                Ok(None) => {
                    self.meter.count(Touch, Outcome::Absent);
                    return Held::nothing();
                }
                // The next request will.
                Err(_) => self.meter.count(Touch, Outcome::Unavailable),
            }
        }
        held.base = Base::Stored(Box::new(record));
        held
    }

    /// A session that the client carries.
    fn carry(&self, rules: &Rules, mut held: Held, mut snapshot: Snapshot) -> Result<Held, Error> {
        if held.is_changed() {
            let error = self.cannot_say();
            return self.put_on(rules, held, &snapshot, error);
        }
        let now = wall();
        if snapshot.times.wants_touch(now) {
            snapshot.times.touched = now;
            held.outdated.snapshot = true;
        }
        held.base = Base::Carried(Box::new(snapshot));
        Ok(held)
    }

    /// Puts changes on top of what the client carries; `error` when it cannot carry them.
    pub(super) fn put_on(
        &self,
        rules: &Rules,
        mut held: Held,
        snapshot: &Snapshot,
        error: Error,
    ) -> Result<Held, Error> {
        let changes = std::mem::take(&mut held.changes);
        let may_travel = changes.values.keys().all(|key| rules.declared.contains(key));
        let fits = |changed: &Snapshot| seal::fits(rules.room, rules.cookie, changed);
        let changed = may_travel
            .then(|| self.memory.marks.change(snapshot.id().name(), snapshot, &changes, fits))
            .flatten();
        let Some(mut changed) = changed else {
            self.meter.count(Change, Outcome::Unavailable);
            return Err(error);
        };
        if let Some((idle, absolute)) = changed.changes.expiry {
            changed.times.idle = idle;
            changed.times.ends = changed.times.created.saturating_add(absolute);
        }
        changed.times.touched = changed.times.touched.max(wall());
        self.meter.count(Change, Outcome::Stateless);
        held.base = Base::Carried(Box::new(changed));
        held.carried = Changes::default();
        held.outdated.snapshot = true;
        Ok(held)
    }
}
