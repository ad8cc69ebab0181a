//! What is known of a session that is to be ended.

use super::{record::Record, snapshot::Snapshot, standing::Standing};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    /// From when on it could not live anyway, in ms of the wall clock.
    pub(super) until: u64,
    pub(super) standing: Standing,
}

impl Ending {
    /// Of a session that Redis has.
    pub(super) fn of_record(record: &Record) -> Self {
        Self { until: record.times.ends, standing: Standing::of_record(record) }
    }

    /// Of the session that this is a copy of.
    pub(super) fn of_snapshot(snapshot: &Snapshot) -> Self {
        Self { until: snapshot.times.ends, standing: Standing::of_snapshot(snapshot) }
    }
}
