//! A session that begins: in Redis, or with the client.

use super::{
    expiry::{Times, wall},
    held::{Base, Held},
    id::{SessionId, SessionName},
    meter::{Operation::Create, Outcome},
    record::{Changes, Record},
    redis::{Created, NewRecord},
    rules::Rules,
    snapshot::Snapshot,
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
    ) -> Result<Option<Held>, Error> {
        self.inner.begin_as(rules, id, times, None, changes.clone()).await
    }
}

impl Inner {
    /// A session that did not exist before.
    pub(super) async fn begin(&self, rules: &Rules, mut held: Held) -> Result<Held, Error> {
        let mut times = Times::beginning(wall(), rules.expiry);
        if let Some((idle, absolute)) = held.changes.expiry {
            (times.idle, times.ends) = (idle, times.created.saturating_add(absolute));
        }
        let changes = std::mem::take(&mut held.changes);
        let id = SessionId::random();
        let held = self.begin_as(rules, id, times, held.subject, changes).await?;
        // A new id is neither taken nor logged out.
        held.ok_or_else(|| self.cannot_say())
    }

    /// The same with an id. `None`: it is taken, or was logged out.
    pub(super) async fn begin_as(
        &self,
        rules: &Rules,
        id: SessionId,
        times: Times,
        subject: Option<String>,
        changes: Changes,
    ) -> Result<Option<Held>, Error> {
        match self.create(id, times, false, subject.as_deref(), &changes).await {
            Ok(Some(record)) => {
                self.meter.count(Create, Outcome::Ok);
                Ok(Some(self.written(id, record)))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                let born = Snapshot::born(id, times, subject);
                let held = self.born(rules, id, born, changes, error)?;
                self.meter.count(Create, Outcome::Stateless);
                Ok(Some(held))
            }
        }
    }

    /// Writes a new record. `None`: the id was logged out.
    pub(super) async fn create(
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
    pub(super) fn written(&self, id: SessionId, record: Record) -> Held {
        self.memory.marks.raise(id.name(), record.version);
        self.memory.lives(record.times.ends.saturating_sub(record.times.created));
        let mut held = Held::on(id, Base::Stored(Box::new(record)), wall());
        held.outdated.id = true;
        held.outdated.snapshot = true;
        held
    }

    /// The same in an outage: the client carries all of it.
    pub(super) fn born(
        &self,
        rules: &Rules,
        id: SessionId,
        born: Snapshot,
        changes: Changes,
        error: Error,
    ) -> Result<Held, Error> {
        let mut held = Held::on(id, Base::Nothing, born.verified);
        held.subject = born.subject.clone();
        held.changes = changes;
        held.outdated.id = true;
        self.memory.lives(born.times.ends.saturating_sub(born.times.created));
        self.switch.from_memory(());
        self.put_on(rules, held, &born, error)
    }
}
