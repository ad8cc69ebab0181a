//! Changes of a record in Redis: compare and set, merge, and try again.

use super::{
    id::SessionName,
    merge::{self, Merged, merge},
    record::{Changes, Record},
    redis::{Created, Records, Replaced},
    snapshot::Snapshot,
};
use crate::{Error, ErrorKind, units::wall_millis};

/// Each time somebody else has written, so of many that write one session at once, one is done with
/// each round.
const ROUNDS: usize = 100;

/// What came of a change.
pub(super) struct Changed {
    /// As Redis has it now.
    pub(super) record: Record,
    /// Keys that somebody else had changed before.
    pub(super) conflicts: u64,
}

impl Records {
    /// On top of what is `known`. `None`: the session is gone.
    pub(super) async fn change(
        &self,
        name: SessionName,
        known: &Record,
        changes: &Changes,
    ) -> Result<Option<Changed>, Error> {
        let mut other: Option<Record> = None;
        for _ in 0..ROUNDS {
            let held = other.as_ref().unwrap_or(known);
            let Merged { record, conflicts } = merge(known, held, changes);
            let Some(record) = record else {
                let record = other.unwrap_or_else(|| known.clone());
                return Ok(Some(Changed { record, conflicts }));
            };
            // Between two uses that count, the script needs no clock.
            let is_use = changes.expiry.is_some() || held.times.wants_touch(wall_millis());
            match self.replace(name, held, record, is_use).await? {
                Replaced::Stored(record) => return Ok(Some(Changed { record, conflicts })),
                Replaced::Gone => return Ok(None),
                Replaced::Conflict(record) => other = Some(record),
            }
        }
        Err(contended())
    }

    /// Counts a use. `false`: the session is gone.
    pub(super) async fn count_use(
        &self,
        name: SessionName,
        record: &mut Record,
    ) -> Result<bool, Error> {
        if !record.is_hash {
            let touched = self.touch(name).await?;
            touched.inspect(|now| record.set_touched(*now));
            return Ok(touched.is_some());
        }
        let rewritten = Record::new(record.head(), record.fields());
        match self.replace(name, record, rewritten, true).await? {
            Replaced::Stored(rewritten) => *record = rewritten,
            Replaced::Gone => return Ok(false),
            // Somebody has just used it.
            Replaced::Conflict(_) => {}
        }
        Ok(true)
    }

    /// Puts back what Redis has lost. `None`: it was logged out, or has ended.
    pub(super) async fn restore(
        &self,
        name: SessionName,
        lost: &Snapshot,
    ) -> Result<Option<Record>, Error> {
        let is_live = |record: &Record| record.times.ends > record.times.touched;
        for _ in 0..ROUNDS {
            match self.create(name, merge::restore(None, lost), true).await? {
                Created::Stored(record) => return Ok(Some(record).filter(is_live)),
                Created::Gone => return Ok(None),
                Created::Taken => {}
            }
            let Some(held) = self.load(name).await? else { continue };
            if held.version >= lost.version {
                return Ok(Some(held));
            }
            let restored = merge::restore(Some(&held), lost);
            if let Replaced::Stored(record) = self.replace(name, &held, restored, true).await? {
                return Ok(Some(record).filter(is_live));
            }
        }
        Err(contended())
    }
}

fn contended() -> Error {
    Error::new(ErrorKind::Command, "others have written this session all the while")
}
