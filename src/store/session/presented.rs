//! The copy of a session that is shown with its id, opened only when it is needed.

use super::{
    id::{IdWithHash, SessionId},
    rules::Rules,
    seal::{self, Opened, Opening},
    snapshot::Snapshot,
    store::Inner,
};

/// What is shown with an id.
pub(super) enum Presented<'a> {
    Nothing,
    /// A cookie.
    Sealed(&'a str),
    /// A copy that was kept on this instance.
    #[cfg_attr(not(feature = "tower-sessions"), allow(dead_code))]
    Open(Box<Snapshot>),
}

/// Whether the client needs another copy, as far as the seal is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seal {
    /// Made with the key that seals.
    Current,
    /// Missing, none of ours, or made with a key that seals no more.
    Outdated,
    /// Made with a key that another instance may have: the cookie is left as it is.
    Foreign,
}

impl<'a> From<Option<&'a str>> for Presented<'a> {
    fn from(cookie: Option<&'a str>) -> Self {
        cookie.map_or(Self::Nothing, Self::Sealed)
    }
}

impl Inner {
    /// The snapshot of this very session, if there is one.
    pub(super) fn open(
        &self,
        rules: &Rules,
        id: SessionId,
        presented: Presented<'_>,
    ) -> (Option<Snapshot>, Seal) {
        let sealed = match presented {
            Presented::Nothing => return (None, Seal::Outdated),
            Presented::Open(snapshot) => return (Some(*snapshot), Seal::Current),
            Presented::Sealed(sealed) => sealed,
        };
        match seal::open(&self.keys, rules.cookie, sealed) {
            Opening::Opened(opened) if opened.snapshot.id() == id => {
                let Opened { snapshot, is_outdated } = *opened;
                let seal = if is_outdated { Seal::Outdated } else { Seal::Current };
                (Some(snapshot), seal)
            }
            Opening::UnknownKey => (None, Seal::Foreign),
            Opening::Opened(_) | Opening::Rejected => (None, Seal::Outdated),
        }
    }

    /// The same in an outage, where a client shows the same cookie again and again.
    pub(super) fn open_cached(
        &self,
        rules: &Rules,
        who: IdWithHash,
        presented: Presented<'_>,
    ) -> Option<Snapshot> {
        let Presented::Sealed(sealed) = presented else {
            return self.open(rules, who.id, presented).0;
        };
        let known = self.snapshots.get(who.name, rules.cookie, sealed);
        known.or_else(|| {
            let snapshot = self.open(rules, who.id, presented).0?;
            self.snapshots.put(who.name, rules.cookie, sealed, &snapshot);
            Some(snapshot)
        })
    }
}
