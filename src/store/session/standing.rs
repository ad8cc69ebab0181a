//! Which sessions one client can make as many of as it likes: they stand in tables of their own.

use super::{record::Record, snapshot::Snapshot};

/// What this instance remembers is bounded. Sessions of nobody push out sessions of nobody, never
/// one that somebody has logged in to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Redis knew it, and it has a subject.
    Established,
    /// It has no subject, or began while Redis was away, when nobody else could know of it.
    Provisional,
}

impl Standing {
    /// Of a session that Redis has.
    pub(super) fn of_record(record: &Record) -> Self {
        Self::of_stored(record.subject())
    }

    /// The same, of this subject.
    pub(super) fn of_stored(subject: Option<&str>) -> Self {
        if subject.is_some() { Self::Established } else { Self::Provisional }
    }

    /// As its copy says.
    pub(super) fn of_snapshot(snapshot: &Snapshot) -> Self {
        match snapshot.version {
            0 => Self::Provisional,
            _ => Self::of_stored(snapshot.subject.as_deref()),
        }
    }
}
