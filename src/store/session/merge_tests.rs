//! The merge against a model of one process that makes one change after the other.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::store::session::{
    expiry::{Expiry, Times},
    id::SessionId,
    record::Json,
    snapshot::{Declared, Gaps},
};

/// Keys, with the version and the value that each was last given.
type Model = BTreeMap<String, (u64, Json)>;

fn model(record: &Record) -> Model {
    let field = |Field { key, version, json }: Field<'_>| {
        (key.to_owned(), (version, json.map(str::to_owned)))
    };
    record.fields().map(field).collect()
}

fn record(version: u64, fields: &Model) -> Record {
    let times = Times::beginning(1_000, Expiry::default());
    let head = Head { version, times, is_restored: false, subject: Some("alice") };
    let field = |(key, (version, json)): (&'_ String, &'_ (u64, Json))| {
        (key.clone(), *version, json.clone())
    };
    let fields: Vec<_> = fields.iter().map(field).collect();
    Record::new(
        head,
        fields.iter().map(|(key, version, json)| Field {
            key,
            version: *version,
            json: json.as_deref(),
        }),
    )
}

prop_compose! {
    /// Few keys and values, so that they meet.
    fn changes()(
        values in proptest::collection::btree_map("[a-d]", option::of("[0-2]"), 1..4),
        expiry in option::weighted(0.1, (1_u64..9, 9_u64..99)),
    ) -> Changes {
        Changes { values, expiry }
    }
}

prop_compose! {
    fn any_record()(
        version in 1_u64..6,
        fields in proptest::collection::btree_map("[a-f]", (1_u64..6, option::of("[0-2]")), 0..5),
    ) -> Record {
        let fields = fields.into_iter().map(|(key, (at, json))| (key, (at.min(version), json)));
        record(version, &fields.collect())
    }
}

/// The law, as a script would carry it out on a hash.
fn carried_out(known: u64, version: u64, held: &Model, changes: &Changes) -> (Model, u64, bool) {
    let (mut after, mut conflicts, mut writes) = (held.clone(), 0, changes.expiry.is_some());
    for (key, json) in &changes.values {
        match held.get(key) {
            Some((at, held)) if *at > known => conflicts += u64::from(held != json),
            _ => {
                after.insert(key.clone(), (version + 1, json.clone()));
                writes = true;
            }
        }
    }
    (after, conflicts, writes)
}

/// One of several requests of one session.
struct Writer {
    known: Record,
    changes: Changes,
    /// What it has read last, and is about to replace.
    held: Record,
    conflicts: Option<u64>,
}

proptest! {
    #[test]
    fn as_a_script_would(known in any_record(), later in vec(changes(), 0..3), own in changes()) {
        let mut current = known.clone();
        for changes in &later {
            current = merge(&current, &current, changes).record.unwrap();
        }
        let merged = merge(&known, &current, &own);
        let (after, conflicts, writes) =
            carried_out(known.version, current.version, &model(&current), &own);
        prop_assert_eq!(merged.conflicts, conflicts);
        prop_assert_eq!(merged.record.is_some(), writes);
        if let Some(record) = merged.record {
            prop_assert_eq!(record.version, current.version + 1);
            prop_assert_eq!(model(&record), after);
            prop_assert_eq!(record.subject(), Some("alice"));
            let mut times = current.times;
            if let Some(expiry) = own.expiry {
                times.set(expiry);
            }
            prop_assert_eq!(record.times, times);
            prop_assert!(Record::read(record.value().to_vec()).is_some());
        }
    }

    /// However the reads and writes of two (or three) requests fall between each other.
    #[test]
    fn no_interleaving_loses_a_key_of_a_later_version(
        begin in any_record(),
        all in vec(changes(), 2..4),
        steps in vec(0_usize..3, 0..12),
    ) {
        let (mut redis, mut oracle) = (begin.clone(), model(&begin));
        let writer = |changes: &Changes| Writer {
            known: begin.clone(),
            changes: changes.clone(),
            held: begin.clone(),
            conflicts: None,
        };
        let mut writers: Vec<_> = all.iter().map(writer).collect();
        // In the end all of them get their turn until they are done.
        let rest = (0..writers.len()).cycle().take(writers.len() * writers.len() * 2);
        for step in steps.into_iter().map(|step| step % all.len()).chain(rest) {
            let writer = &mut writers[step];
            if writer.conflicts.is_some() {
                continue;
            }
            // What the script does: compare, and set.
            if writer.held.header() != redis.header() {
                writer.held = redis.clone();
                continue;
            }
            let merged = merge(&writer.known, &writer.held, &writer.changes);
            writer.conflicts = Some(merged.conflicts);
            let (after, conflicts, _) =
                carried_out(writer.known.version, redis.version, &oracle, &writer.changes);
            prop_assert_eq!(conflicts, merged.conflicts);
            if let Some(record) = merged.record {
                for (key, (version, json)) in &oracle {
                    let (later, now) = &model(&record)[key];
                    prop_assert!(later > version || (later, now) == (version, json));
                }
                redis = record;
            }
            oracle = after;
        }
        prop_assert!(writers.iter().all(|writer| writer.conflicts.is_some()));
        prop_assert_eq!(model(&redis), oracle.clone());
        for key in all.iter().flat_map(|changes| changes.values.keys()) {
            let first = |changes: &&Changes| changes.values.contains_key(key);
            let wanted: Vec<_> = all.iter().filter(first).map(|c| c.values[key].clone()).collect();
            prop_assert!(wanted.contains(&oracle[key].1), "{key} is nobody's");
        }
    }

    #[test]
    fn where_redis_came_back_older_nothing_that_was_known_is_lost(
        older in any_record(),
        lost in vec(changes(), 1..4),
        own in changes(),
    ) {
        let mut known = older.clone();
        for changes in &lost {
            known = merge(&known, &known, changes).record.unwrap();
        }
        let record = merge(&known, &older, &own).record.unwrap();
        prop_assert_eq!(record.version, known.version + 1);
        prop_assert_eq!(model(&record), carried_out(known.version, known.version, &model(&known), &own).0);
    }

    #[test]
    fn a_copy_brings_back_what_is_newer_in_it(
        older in any_record(),
        lost in vec(changes(), 1..4),
        declared in vec("[a-f]", 0..7),
    ) {
        let mut newer = older.clone();
        for changes in &lost {
            newer = merge(&newer, &newer, changes).record.unwrap();
        }
        let declared = Declared::new(declared);
        let copy = Snapshot::of(SessionId::random(), &newer, &declared, 7, 9);
        let (alone, joined) = (restore(None, &copy), restore(Some(&older), &copy));
        for restored in [&alone, &joined] {
            prop_assert!(restored.is_restored && restored.subject() == Some("alice"));
            prop_assert_eq!(restored.version, newer.version);
            prop_assert!(Record::read(restored.value().to_vec()).is_some());
            for part in &copy.parts {
                prop_assert_eq!(restored.get(&part.key), Some(part.json.as_str()));
            }
        }
        prop_assert!(alone.fields().all(|field| declared.contains(field.key)));
        for held in older.fields() {
            let now = joined.field(held.key).unwrap();
            let is_copied = copy.parts.iter().any(|part| part.key == held.key);
            match copy.gaps {
                _ if is_copied => prop_assert_eq!(now.json, newer.get(held.key)),
                Gaps::None => prop_assert_eq!(now.json, None, "it was removed"),
                Gaps::Some { .. } => prop_assert!(now == held),
            }
        }
    }
}

#[test]
fn what_is_the_same_is_no_conflict_and_is_not_written() {
    let json = |json: &str| Some(json.to_owned());
    let known = record(1, &Model::new());
    let set = |key: &str, value| Changes { values: [(key.into(), value)].into(), expiry: None };
    let current = merge(&known, &known, &set("a", json("1"))).record.unwrap();
    for (own, conflicts, writes) in [
        (set("a", json("1")), 0, false),
        (set("a", json("2")), 1, false),
        (set("a", None), 1, false),
        (set("b", json("2")), 0, true),
    ] {
        let merged = merge(&known, &current, &own);
        assert_eq!((merged.conflicts, merged.record.is_some()), (conflicts, writes));
    }
}

#[test]
fn a_key_that_is_declared_twice_is_restored_once() {
    let json = |json: &str| Some(json.to_owned());
    let newer = record(3, &[("a".into(), (2, json("1")))].into());
    let declared = Declared::new(vec!["a".into(), "a".into()]);
    let copy = Snapshot::of(SessionId::random(), &newer, &declared, 7, 9);
    assert_eq!(copy.parts.len(), 2);
    let restored = restore(None, &copy);
    assert!(Record::read(restored.value().to_vec()).is_some_and(|r| r.get("a") == Some("1")));
}
