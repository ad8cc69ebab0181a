//! All that is known of a session, where that is all there is.

use std::collections::BTreeMap;

use super::{
    expiry::Times,
    record::{Changes, Json, Record},
    state::{Origin, SessionState},
};

pub(super) struct CompleteState {
    pub(super) times: Times,
    pub(super) verified: u64,
    /// Every value as a change. Values that were removed without Redis are there as such.
    pub(super) changes: Changes,
}

impl CompleteState {
    /// `None`: there is no session, or Redis may hold more.
    pub(super) fn of(state: &SessionState) -> Option<Self> {
        let (times, values, on_top) = match &state.origin {
            Origin::Redis(record) => (record.times, live(record), &state.offline_changes),
            Origin::Snapshot(snapshot) if snapshot.is_complete() => {
                (snapshot.times, live(&snapshot.to_record()), &snapshot.changes)
            }
            Origin::None | Origin::Snapshot(_) => return None,
        };
        let changes = Changes { values, expiry: None }.then(on_top);
        Some(Self { times, verified: state.verified, changes })
    }
}

fn live(record: &Record) -> BTreeMap<String, Json> {
    let live = record.fields.iter().filter(|(_, field)| field.json.is_some());
    live.map(|(key, field)| (key.clone(), field.json.clone())).collect()
}
