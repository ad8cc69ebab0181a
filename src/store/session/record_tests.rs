//! What the reader of records makes of its own, and of anything else.

use proptest::{collection::vec, option, prelude::*};

use super::*;

type Values = BTreeMap<String, (u64, Json)>;

fn fields(values: &Values) -> impl Iterator<Item = Field<'_>> {
    values.iter().map(|(key, (version, json))| Field {
        key,
        version: *version,
        json: json.as_deref(),
    })
}

prop_compose! {
    fn times()(created: u64, touched: u64, idle: u64, ends: u64) -> Times {
        Times { created, touched, idle, ends }
    }
}

prop_compose! {
    fn record()(
        version: u64,
        times in times(),
        is_restored: bool,
        subject in option::of(".{1,20}"),
        values in proptest::collection::btree_map(".{0,12}", (any::<u64>(), option::of(".{1,40}")), 0..8),
    ) -> (Record, Option<String>, Values) {
        let head = Head { version, times, is_restored, subject: subject.as_deref() };
        (Record::new(head, fields(&values)), subject, values)
    }
}

/// It was read: whatever is asked of it is answered, and it is written as it was.
fn asked(record: &Record) {
    let again = Record::new(record.head(), record.fields());
    assert_eq!(again.value()[HEADER..], record.value()[HEADER..]);
    assert_eq!((again.version, again.times), (record.version, record.times));
    for field in record.fields() {
        assert!(record.field(field.key) == Some(field));
    }
    assert!(record.get("no such key at all").is_none());
}

proptest! {
    #[test]
    fn what_is_written_is_read((record, subject, values) in record()) {
        let read = Record::read(record.value().to_vec()).unwrap();
        prop_assert!(read == record);
        prop_assert_eq!(read.subject(), subject.as_deref());
        prop_assert!(read.fields().eq(fields(&values)));
        for (key, (_, json)) in &values {
            prop_assert_eq!(read.get(key), json.as_deref());
        }
        asked(&read);
    }

    #[test]
    fn the_times_stand_where_scripts_look_for_them((mut record, ..) in record(), times in times()) {
        record.set_times(times);
        let read = Record::read(record.value().to_vec()).unwrap();
        prop_assert_eq!(read.times, times);
        let number = |at: usize| u64::from_be_bytes(record.value()[at..at + 8].try_into().unwrap());
        let all = [24, 32, 40, 48].map(number);
        prop_assert_eq!(all, [times.created, times.touched, times.idle, times.ends]);
    }

    #[test]
    fn anything_at_all_is_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        for value in [bytes.clone(), [&MAGIC[..], &bytes].concat()] {
            if let Some(record) = Record::read(value) {
                asked(&record);
            }
        }
    }

    #[test]
    fn a_record_that_is_bent_is_read_or_refused(
        (record, ..) in record(),
        bends in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut value = record.value().to_vec();
        for (at, byte) in bends {
            let at = at.index(value.len());
            value[at] = byte;
        }
        if let Some(record) = Record::read(value) {
            asked(&record);
        }
    }

    #[test]
    fn a_record_that_is_cut_off_lacks_whole_fields_or_is_refused(
        (record, _, values) in record(),
        at: prop::sample::Index,
    ) {
        let value = record.value();
        let cut = at.index(value.len());
        if let Some(read) = Record::read(value[..cut].to_vec()) {
            let left = read.fields().count();
            prop_assert!(left < values.len() && read.fields().eq(fields(&values).take(left)));
        }
    }
}

#[test]
fn keys_that_are_out_of_order_or_there_twice_are_refused() {
    let times = Times { created: 1, touched: 2, idle: 3, ends: 4 };
    let head = Head { version: 1, times, is_restored: false, subject: None };
    let field = |key| Field { key, version: 1, json: Some("1") };
    for (keys, is_read) in [(["a", "b"], true), (["b", "a"], false), (["a", "a"], false)] {
        let record = Record::new(head, keys.into_iter().map(field));
        assert_eq!(Record::read(record.value).is_some(), is_read, "{keys:?}");
    }
}

#[test]
fn a_later_form_is_refused_and_its_header_is_where_it_was() {
    let times = Times { created: 1, touched: 2, idle: 3, ends: 4 };
    let head = Head { version: 1, times, is_restored: false, subject: None };
    let mut value = Record::new(head, std::iter::empty()).value;
    assert_eq!(value.len(), HEADER + 4);
    value[3] = 2;
    assert!(Record::read(value).is_none());
}

#[test]
fn two_changes_of_one_version_are_told_apart() {
    let times = Times { created: 1, touched: 2, idle: 3, ends: 4 };
    let head = Head { version: 1, times, is_restored: false, subject: None };
    let new = || Record::new(head, std::iter::empty());
    assert!(new().header() != new().header());
}

#[test]
fn a_long_claim_of_a_short_value_takes_no_room() {
    let head = [&MAGIC[..], &[0; HEADER - 4], &[0; 4]].concat();
    let claim = [&u32::MAX.to_be_bytes()[..], &[0; 8], &u32::MAX.to_be_bytes()].concat();
    for value in [[&head[..], &claim].concat(), [&head[..HEADER], &claim].concat()] {
        let used = allocation_counter::measure(|| assert!(Record::read(value).is_none()));
        assert_eq!(used.count_total, 0, "reading takes no memory of its own");
    }
}

#[test]
fn later_changes_count_and_settled_ones_go() {
    let change = |pairs: &[(&str, Option<&str>)]| Changes {
        values: pairs.iter().map(|(k, v)| (k.to_string(), v.map(str::to_owned))).collect(),
        expiry: None,
    };
    let first = change(&[("a", Some("1")), ("b", Some("1"))]);
    let mut both = first.clone().then(&change(&[("b", None), ("c", Some("2"))]));
    assert!(both == change(&[("a", Some("1")), ("b", None), ("c", Some("2"))]));
    both.settle(&first);
    assert!(both == change(&[("b", None), ("c", Some("2"))]));
}
