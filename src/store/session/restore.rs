//! What Redis does not have: deleted, or lost?

use super::{
    high_water_marks::Reconciled,
    id::{IdWithHash, SessionName},
    law::{self, Missing},
    loaded::Loaded,
    metrics::{
        Operation::{Load, Restore},
        Outcome,
    },
    new_record::NewRecord,
    record::{Changes, Record},
    redis::Created,
    sessions::Sessions,
    snapshot::Snapshot,
    standing::Standing,
    state::{Origin, SessionState},
};
use crate::{Error, units::wall_millis};

impl Sessions {
    /// Redis does not have it.
    pub(super) async fn missing(
        &self,
        who: IdWithHash,
        snapshot: Option<Snapshot>,
    ) -> Result<Loaded, Error> {
        let absent = || Ok(Loaded::none(Load, Outcome::Absent));
        let Some(snapshot) = snapshot else { return absent() };
        let (epoch, windows) = (self.redis.epoch(), self.memory.loss_windows());
        let cutoff = self.memory.cutoff(Standing::of_snapshot(&snapshot));
        match law::missing(&snapshot, wall_millis(), epoch, &windows, cutoff) {
            Missing::Refused => absent(),
            Missing::Restored => self.restore(who, &snapshot).await,
            Missing::DependsOnEpoch => match self.redis.keeps_its_data().await {
                Ok(true) => absent(),
                Ok(false) => self.load_offline(who, Some(snapshot), self.unavailable()),
                Err(error) => self.load_offline(who, Some(snapshot), error),
            },
        }
    }

    /// Puts back what Redis has lost.
    pub(super) async fn restore(
        &self,
        who: IdWithHash,
        snapshot: &Snapshot,
    ) -> Result<Loaded, Error> {
        let refused = || Ok(Loaded::none(Restore, Outcome::Refused));
        if !law::is_within_age(snapshot, wall_millis(), self.rules.max_offline_age) {
            return refused();
        }
        match self.is_of_lineage(snapshot).await {
            Ok(true) => {}
            Ok(false) => return refused(),
            Err(error) => return self.load_offline(who, Some(snapshot.clone()), error),
        }
        let mut newest = snapshot.clone();
        if self.memory.is_revoked(snapshot.subject.as_deref(), snapshot.times.created)
            || self.memory.reconcile(who.name, &mut newest) == Reconciled::Stale
        {
            return refused();
        }
        match self.put_back(who.name, &newest).await {
            Ok(Some(record)) => {
                let (changes, conflicts) = law::rebase(&record, newest);
                let loaded = self.loaded(who, record, changes, true);
                Ok(Loaded { operation: Restore, conflicts, ..loaded })
            }
            Ok(None) => refused(),
            Err(error) => self.load_offline(who, Some(newest), error),
        }
    }

    /// Whether Redis has held this snapshot's session, or would have. Another Redis, with the same
    /// keys, may have sealed it.
    async fn is_of_lineage(&self, snapshot: &Snapshot) -> Result<bool, Error> {
        let began_before_redis_was_met = snapshot.version == 0 && snapshot.epoch == 0;
        if began_before_redis_was_met || self.lineage.contains(snapshot.epoch) {
            return Ok(true);
        }
        // Another instance may have met it, and have told Redis since.
        self.lineage.sync(&mut self.redis.connection()).await?;
        Ok(self.lineage.contains(snapshot.epoch))
    }

    /// `None`: it was logged out, or has ended.
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
        let new = NewRecord {
            times: snapshot.times,
            is_older: true,
            is_restored: true,
            subject: snapshot.subject.as_deref(),
            changes: &snapshot.changes,
        };
        match self.records.create(name, new.record(), new.is_older).await? {
            Created::Stored(record) => Ok(Some(record)),
            Created::Gone => Ok(None),
            Created::Taken => self.records.load(name).await,
        }
    }

    /// A session that Redis has just shown.
    pub(super) fn loaded(
        &self,
        who: IdWithHash,
        record: Record,
        offline_changes: Changes,
        is_outdated: bool,
    ) -> Loaded {
        let mut state = self.stored(who, record);
        state.offline_changes = offline_changes;
        state.outdated.snapshot = is_outdated;
        Loaded { state, operation: Load, outcome: Outcome::Ok, conflicts: 0 }
    }

    /// A session as Redis has it.
    pub(super) fn stored(&self, who: IdWithHash, record: Record) -> SessionState {
        self.memory.marks(Standing::of_record(&record)).raise(who.name, record.version);
        self.memory.note_lifetime(record.times.lifetime());
        SessionState::from_origin(who.id, Origin::Redis(Box::new(record)), wall_millis())
    }
}
