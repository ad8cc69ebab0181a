//! A session that is to be written for the first time.

use super::{
    expiry::Times,
    record::{Changes, Head, Record},
};

#[derive(Clone, Copy)]
pub(super) struct NewRecord<'a> {
    pub(super) times: Times,
    /// It began earlier than now, under another id or without Redis.
    pub(super) is_older: bool,
    /// It is put back from a copy, or is another id of one that was.
    pub(super) is_restored: bool,
    pub(super) subject: Option<&'a str>,
    /// Its values; what was removed is not written.
    pub(super) changes: &'a Changes,
}

impl NewRecord<'_> {
    pub(super) fn record(&self) -> Record {
        let Self { times, is_restored, subject, changes, .. } = *self;
        let live = changes.fields(1).filter(|field| field.json.is_some());
        Record::new(Head { version: 1, times, is_restored, subject }, live)
    }
}
