//! What becomes of a record that two have changed, or that Redis has lost in part: key by key, as
//! pure functions.

use std::{
    cmp::Ordering,
    iter::{Peekable, from_fn},
};

use super::{
    record::{Changes, Field, Head, Record},
    snapshot::{Part, Snapshot},
};

/// What is to be written.
pub(super) struct Merged {
    /// `None`: there is nothing left to write.
    pub(super) record: Option<Record>,
    /// Keys that are left as they are, because somebody else has changed them before.
    pub(super) conflicts: u64,
}

/// A newer state of a record than what Redis holds.
struct Newer<'a> {
    head: Head<'a>,
    /// In the order of their keys.
    fields: Vec<Field<'a>>,
    /// There are no other keys in it.
    is_complete: bool,
}

/// `changes`, made to what was `known`, on top of what is there now: a key that was changed after
/// that version is left as it is, because whoever came first has won.
///
/// If Redis came back older than what was known, what is newer there takes its place first.
pub(super) fn merge(known: &Record, current: &Record, changes: &Changes) -> Merged {
    if known.version > current.version {
        let fields = known.fields().collect();
        let newer = Newer { head: known.head(), fields, is_complete: true };
        return change(known.version, &bring_forward(current, &newer), changes);
    }
    change(known.version, current, changes)
}

/// What a client carried in place of an older record. It has to authenticate again before it counts
/// as fresh.
pub(super) fn restore(current: Option<&Record>, snapshot: &Snapshot) -> Record {
    let newer = Newer::from(snapshot);
    match current {
        Some(current) => bring_forward(current, &newer),
        None => Record::new(newer.head, newer.fields.into_iter()),
    }
}

fn change(known: u64, current: &Record, changes: &Changes) -> Merged {
    let (version, mut conflicts, mut writes) =
        (current.version.saturating_add(1), 0, changes.expiry.is_some());
    let fields = join(current.fields(), changes.fields(version)).filter_map(|pair| match pair {
        (Some(held), Some(change)) if held.version > known => {
            conflicts += u64::from(held.json != change.json);
            Some(held)
        }
        (held, None) => held,
        (_, change) => {
            writes = true;
            change
        }
    });
    let mut head = Head { version, ..current.head() };
    if let Some(expiry) = changes.expiry {
        head.times.set(expiry);
    }
    let record = Record::new(head, fields);
    Merged { record: writes.then_some(record), conflicts }
}

/// What is newer takes its place in `current`.
fn bring_forward(current: &Record, newer: &Newer<'_>) -> Record {
    let version = newer.head.version;
    let fields = join(current.fields(), newer.fields.iter().copied());
    let fields = fields.filter_map(|pair| match pair {
        (Some(held), Some(newer)) => Some(if held.version < newer.version { newer } else { held }),
        (Some(held), None) if newer.is_complete && held.version <= version => {
            Some(Field { version, json: None, ..held })
        }
        (held, newer) => held.or(newer),
    });
    let subject = newer.head.subject.or(current.subject());
    Record::new(Head { subject, ..newer.head }, fields)
}

impl<'a> From<&'a Snapshot> for Newer<'a> {
    fn from(snapshot: &'a Snapshot) -> Self {
        let head = Head {
            version: snapshot.version,
            times: snapshot.times,
            is_restored: true,
            subject: snapshot.subject.as_deref(),
        };
        let part = |Part { key, version, json }: &'a Part| Field {
            key,
            version: *version,
            json: Some(json),
        };
        let mut fields: Vec<_> = snapshot.parts.iter().map(part).collect();
        // They come in the order of their importance, and a key may be declared twice.
        fields.sort_unstable_by_key(|field| field.key);
        fields.dedup_by_key(|field| field.key);
        Self { head, fields, is_complete: snapshot.is_complete() }
    }
}

type Pair<'a> = (Option<Field<'a>>, Option<Field<'a>>);

/// The fields of both, each with the one of the same key.
fn join<'a>(
    one: impl Iterator<Item = Field<'a>>,
    other: impl Iterator<Item = Field<'a>>,
) -> impl Iterator<Item = Pair<'a>> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    from_fn(move || {
        let order = match (one.peek(), other.peek()) {
            (Some(one), Some(other)) => one.key.cmp(other.key),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        Some((take(&mut one, order.is_le()), take(&mut other, order.is_ge())))
    })
}

fn take<I: Iterator>(from: &mut Peekable<I>, is_due: bool) -> Option<I::Item> {
    if is_due { from.next() } else { None }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
