//! The copy of a session that is shown with its id, opened only when it is needed.

use super::{
    id::{IdWithHash, SessionId},
    seal::{self, Seal},
    sessions::Sessions,
    snapshot::Snapshot,
};

/// What is shown with an id.
pub(crate) enum Presented<'a> {
    Nothing,
    /// A cookie.
    Sealed(&'a str),
    /// A copy that was kept on this instance.
    #[cfg_attr(not(feature = "tower-sessions"), allow(dead_code))]
    Open(Box<Snapshot>),
}

impl<'a> From<Option<&'a str>> for Presented<'a> {
    fn from(cookie: Option<&'a str>) -> Self {
        cookie.map_or(Self::Nothing, Self::Sealed)
    }
}

impl Sessions {
    /// The snapshot of this very session, if there is one.
    pub(super) fn open(&self, id: SessionId, presented: Presented<'_>) -> (Option<Snapshot>, Seal) {
        match presented {
            Presented::Nothing => (None, Seal::Outdated),
            Presented::Open(snapshot) => (Some(*snapshot), Seal::Current),
            Presented::Sealed(sealed) => match seal::open(&self.keys, &self.rules.cookie, sealed) {
                (Some(snapshot), _) if snapshot.id() != id => (None, Seal::Outdated),
                opened => opened,
            },
        }
    }

    /// The same in an outage, where a client shows the same cookie again and again.
    pub(super) fn open_cached(
        &self,
        who: IdWithHash,
        presented: Presented<'_>,
    ) -> Option<Snapshot> {
        let Presented::Sealed(sealed) = presented else {
            return self.open(who.id, presented).0;
        };
        let known = self.snapshots.get(who.name, &self.rules.cookie, sealed);
        known.or_else(|| {
            let snapshot = self.open(who.id, presented).0?;
            self.snapshots.put(who.name, &self.rules.cookie, sealed, &snapshot);
            Some(snapshot)
        })
    }
}
