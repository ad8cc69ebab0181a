//! From what the client shows to a session: ask Redis, decide, act.

use super::{
    high_water_marks::KnownCookie,
    id::{IdWithHash, SessionId},
    law::{self, Found, Seen},
    loaded::Loaded,
    metrics::{Operation::Load, Outcome},
    presented::Presented,
    record::{Changes, Record},
    seal::Seal,
    sessions::Sessions,
    snapshot::Snapshot,
    standing::Standing,
    state::SessionState,
};
use crate::{Error, units::wall_millis};

impl Sessions {
    /// The session of a client that shows this id and this copy.
    ///
    /// # Errors
    ///
    /// Only Redis could say whether there is one, and it cannot be asked.
    pub(crate) async fn load(
        &self,
        id: SessionId,
        presented: Presented<'_>,
    ) -> Result<SessionState, Error> {
        let loaded = self.judge(IdWithHash::from(id), presented).await;
        self.count(loaded)
    }

    async fn judge(&self, who: IdWithHash, presented: Presented<'_>) -> Result<Loaded, Error> {
        if self.memory.has_ended(who.name) {
            return Ok(Loaded::none(Load, Outcome::Refused));
        }
        match self.switch.redis(self.records.load(who.name)).await {
            Ok(Some(record)) => {
                let newest = self.memory.marks(Standing::of_record(&record)).newest(who.name);
                let seen = self.seen(&record, newest.map(|(version, _)| version));
                if self.is_current(&record, &presented, newest, seen) {
                    return Ok(self.loaded(who, record, Changes::default(), false));
                }
                // Seldom, and long: boxed, so that the future of every read stays small.
                Box::pin(self.found(who, record, presented, seen)).await
            }
            Ok(None) => {
                let snapshot = self.open(who.id, presented).0;
                Box::pin(self.missing(who, snapshot)).await
            }
            // Also an error about this record: it harms this session alone, as if Redis were away.
            Err(error) => self.load_offline(who, self.open_cached(who, presented), error),
        }
    }

    fn seen(&self, record: &Record, newest: Option<u64>) -> Seen {
        Seen {
            is_revoked: self.memory.is_revoked(record.subject(), record.times.created),
            pending_cutoff: self.memory.pending_cutoff(Standing::of_record(record)),
            newest,
        }
    }

    /// Redis has just what the client has, and that is known without opening its copy.
    fn is_current(
        &self,
        record: &Record,
        presented: &Presented<'_>,
        newest: Option<(u64, Option<KnownCookie>)>,
        seen: Seen,
    ) -> bool {
        let Presented::Sealed(sealed) = presented else { return false };
        let Some((version, Some(KnownCookie { hash, verified, epoch }))) = newest else {
            return false;
        };
        version == record.version
            && law::is_recent(
                (verified, epoch),
                wall_millis(),
                self.redis.epoch(),
                self.rules.refresh,
            )
            && law::found(record, None, seen) == Found::Served
            && hash == self.memory.marks(Standing::of_record(record)).hash(sealed)
    }

    /// Redis has it, and the client's copy has to be opened to compare them.
    async fn found(
        &self,
        who: IdWithHash,
        record: Record,
        presented: Presented<'_>,
        seen: Seen,
    ) -> Result<Loaded, Error> {
        let hash = match presented {
            Presented::Sealed(sealed) => {
                Some(self.memory.marks(Standing::of_record(&record)).hash(sealed))
            }
            Presented::Nothing | Presented::Open(_) => None,
        };
        let (snapshot, seal) = self.open(who.id, presented);
        match (law::found(&record, snapshot.as_ref(), seen), snapshot) {
            (Found::Served, snapshot) => Ok(self.serve(who, record, snapshot, seal, hash)),
            (Found::Restored, Some(snapshot)) => self.restore(who, &snapshot).await,
            (Found::Refused | Found::Restored, _) => Ok(Loaded::none(Load, Outcome::Refused)),
        }
    }

    /// The record, with what the client brings from an outage on top.
    fn serve(
        &self,
        who: IdWithHash,
        record: Record,
        snapshot: Option<Snapshot>,
        seal: Seal,
        hash: Option<u64>,
    ) -> Loaded {
        let marks = self.memory.marks(Standing::of_record(&record));
        let current = snapshot.as_ref().filter(|snapshot| {
            let verified = (snapshot.verified, snapshot.epoch);
            seal == Seal::Current
                && snapshot.version == record.version
                && snapshot.changes.is_empty()
                && law::is_recent(verified, wall_millis(), self.redis.epoch(), self.rules.refresh)
        });
        let is_outdated = seal != Seal::Foreign && current.is_none();
        let known_cookie =
            current.zip(hash).map(|(Snapshot { version, verified, epoch, .. }, hash)| {
                (*version, KnownCookie { hash, verified: *verified, epoch: *epoch })
            });
        let (changes, conflicts) = match snapshot {
            Some(mut snapshot) => {
                // Whatever it is against what was seen here: the record decides, key by key.
                self.memory.reconcile(who.name, &mut snapshot);
                law::rebase(&record, snapshot)
            }
            None => Default::default(),
        };
        let loaded = self.loaded(who, record, changes, is_outdated);
        if let Some((version, cookie)) = known_cookie {
            // After `loaded`, which makes the mark that it is noted at.
            marks.set_cookie(who.name, version, cookie);
        }
        Loaded { conflicts, ..loaded }
    }
}
