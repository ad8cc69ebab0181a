//! What Redis does not have: deleted, or lost?

use super::{
    expiry::wall,
    high_water_marks::Reconciled,
    id::{IdWithHash, SessionName},
    law::{self, Missing},
    metrics::{
        Operation::{Load, Restore},
        Outcome, Replayed,
    },
    record::Record,
    redis::{Created, NewRecord},
    rules::Rules,
    snapshot::Snapshot,
    state::SessionState,
    store::Inner,
};
use crate::Error;

impl Inner {
    /// Redis does not have it.
    pub(super) async fn missing(
        &self,
        rules: &Rules,
        who: IdWithHash,
        snapshot: Option<Snapshot>,
    ) -> Result<SessionState, Error> {
        let refuse = || {
            self.metrics.count(Load, Outcome::Absent);
            Ok(SessionState::none())
        };
        let Some(snapshot) = snapshot else { return refuse() };
        let epoch = self.redis.epoch();
        let loss_windows = self.memory.loss_windows();
        match law::missing(&snapshot, wall(), epoch, &loss_windows, self.memory.cutoff()) {
            Missing::Refused => refuse(),
            Missing::Restored => self.restore(rules, who, &snapshot).await,
            Missing::DependsOnEpoch => match self.redis.keeps_its_data().await {
                Ok(true) => refuse(),
                Ok(false) => {
                    let error = self.unavailable();
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
        who: IdWithHash,
        snapshot: &Snapshot,
    ) -> Result<SessionState, Error> {
        let name = who.name;
        let mut newest = snapshot.clone();
        if self.memory.is_revoked(snapshot.subject.as_deref(), snapshot.times.created)
            || self.memory.marks.reconcile(name, &mut newest) == Reconciled::Stale
        {
            self.metrics.count(Restore, Outcome::Refused);
            return Ok(SessionState::none());
        }
        match self.put_back(name, &newest).await {
            Ok(Some(record)) => {
                self.metrics.count(Restore, Outcome::Ok);
                self.metrics.replayed(Replayed::Applied, 1);
                let offline = self.rebase(&record, newest);
                Ok(self.loaded(who, record, wall(), offline, true))
            }
            Ok(None) => {
                self.metrics.count(Restore, Outcome::Refused);
                Ok(SessionState::none())
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
