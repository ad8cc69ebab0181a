//! What Redis does not have: deleted, or lost?

use super::{
    expiry::wall,
    held::Held,
    id::{Named, SessionName},
    law::{self, Missing},
    marks::Against,
    meter::{
        Operation::{Load, Restore},
        Outcome, Replayed,
    },
    record::Record,
    redis::{Created, NewRecord},
    rules::Rules,
    snapshot::Snapshot,
    store::Inner,
};
use crate::Error;

impl Inner {
    /// Redis does not have it.
    pub(super) async fn missing(
        &self,
        rules: &Rules,
        who: Named,
        snapshot: Option<Snapshot>,
    ) -> Result<Held, Error> {
        let refuse = || {
            self.meter.count(Load, Outcome::Absent);
            Ok(Held::nothing())
        };
        let Some(snapshot) = snapshot else { return refuse() };
        let epoch = self.redis.epoch();
        let doubts = self.memory.doubts();
        match law::missing(&snapshot, wall(), epoch, &doubts, self.memory.cutoff()) {
            Missing::Refused => refuse(),
            Missing::Restored => self.restore(rules, who, &snapshot).await,
            Missing::DependsOnEpoch => match self.redis.keeps_its_data().await {
                Ok(true) => refuse(),
                Ok(false) => {
                    let error = self.cannot_say();
                    self.offline(rules, who, Some(snapshot), error)
                }
                Err(error) => self.offline(rules, who, Some(snapshot), error),
            },
        }
    }

    /// Puts back what Redis has lost.
    pub(super) async fn restore(
        &self,
        rules: &Rules,
        who: Named,
        snapshot: &Snapshot,
    ) -> Result<Held, Error> {
        let name = who.name;
        let mut newest = snapshot.clone();
        if self.memory.is_revoked(snapshot.subject.as_deref(), snapshot.times.created)
            || self.memory.marks.amend(name, &mut newest) == Against::Older
        {
            self.meter.count(Restore, Outcome::Refused);
            return Ok(Held::nothing());
        }
        match self.put_back(name, &newest).await {
            Ok(Some(record)) => {
                self.meter.count(Restore, Outcome::Ok);
                self.meter.replayed(Replayed::Applied, 1);
                let carried = self.still_valid(&record, newest);
                Ok(self.stored(who, record, wall(), carried, true))
            }
            Ok(None) => {
                self.meter.count(Restore, Outcome::Refused);
                Ok(Held::nothing())
            }
            Err(error) => self.offline(rules, who, Some(newest), error),
        }
    }

    async fn put_back(
        &self,
        name: SessionName,
        snapshot: &Snapshot,
    ) -> Result<Option<Record>, Error> {
        if let Some(subject) = &snapshot.subject {
            let subject = SessionName::of(subject.as_bytes());
            self.records.enlist(subject, name, snapshot.times.ends).await?;
            // After it is listed: whoever revokes all either finds it in the list or is found here.
            let cutoff = self.records.cutoff(subject).await?;
            if cutoff.is_some_and(|cutoff| snapshot.times.created <= cutoff) {
                return Ok(None);
            }
        }
        if snapshot.version > 0 {
            return self.records.restore(name, snapshot).await;
        }
        let values = snapshot.changes.values.iter();
        let new = NewRecord {
            times: snapshot.times,
            is_older: true,
            subject: snapshot.subject.as_deref(),
            values: values
                .filter_map(|(key, json)| Some((key.as_str(), json.as_deref()?)))
                .collect(),
        };
        match self.records.create(name, &new).await? {
            Created::Gone => Ok(None),
            Created::At(_) | Created::Taken => self.records.load(name).await,
        }
    }
}
