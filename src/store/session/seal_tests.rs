use proptest::prelude::*;

use super::*;
use crate::store::session::{
    expiry::{Expiry, Times},
    id::SessionId,
    keys::SessionKeys,
    record::{Field, Head, Record},
};

const COOKIE: &str = "__Host-sd";

fn ring(secrets: &[u8]) -> KeyRing {
    let secrets: Vec<_> =
        secrets.iter().map(|byte| base64::prelude::BASE64_STANDARD.encode([*byte; 32])).collect();
    SessionKeys::parse(&secrets.join(",")).unwrap().ring("test")
}

fn declared(keys: &[&str]) -> Declared {
    Declared::new(keys.iter().map(|key| key.to_string()).collect())
}

fn snapshot(declared: &Declared, values: &[(&str, String)]) -> Snapshot {
    let times = Times::beginning(1_700_000_000_000, Expiry::default());
    let head = Head { version: 5, times, is_restored: false, subject: Some("alice") };
    let mut fields: Vec<_> =
        values.iter().map(|(key, json)| Field { key, version: 4, json: Some(json) }).collect();
    fields.sort_unstable_by_key(|field| field.key);
    let record = Record::new(head, fields.into_iter());
    Snapshot::of(SessionId::from_bytes([9; 16]), &record, declared, 77, 1_700_000_000_123)
}

fn opened(keys: &KeyRing, value: &str) -> Option<(Snapshot, Seal)> {
    let (snapshot, seal) = open(keys, COOKIE, value);
    Some((snapshot?, seal))
}

fn small() -> (Declared, Snapshot) {
    let declared = declared(&["visits"]);
    let snapshot = snapshot(&declared, &[("visits", "3".into())]);
    (declared, snapshot)
}

#[test]
fn comes_back_as_it_was_and_never_the_same_twice() {
    let keys = ring(&[1]);
    let (declared, snapshot) = small();
    let one = seal(&keys, COOKIE, Cow::Borrowed(&snapshot), &declared).unwrap();
    let two = seal(&keys, COOKIE, Cow::Borrowed(&snapshot), &declared).unwrap();
    assert_ne!(one, two);
    for sealed in [one, two] {
        let opened = opened(&keys, &sealed).unwrap();
        assert!(opened == (snapshot.clone(), Seal::Current));
        assert!(!sealed.contains("alice"));
    }
}

#[test]
fn every_flipped_bit_is_rejected() {
    let keys = ring(&[1]);
    let (declared, snapshot) = small();
    let sealed = seal(&keys, COOKIE, Cow::Borrowed(&snapshot), &declared).unwrap();
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&sealed).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut bent = bytes.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let bent = BASE64_URL_SAFE_NO_PAD.encode(bent);
        assert!(opened(&keys, &bent).is_none(), "bit {bit}");
    }
    // And every bit of the text itself, the unused ones of its last character included.
    for (at, bit) in (0..sealed.len()).flat_map(|at| (0..7).map(move |bit| (at, bit))) {
        let mut bent = sealed.clone().into_bytes();
        bent[at] ^= 1 << bit;
        let bent = String::from_utf8(bent).unwrap();
        assert!(opened(&keys, &bent).is_none(), "character {at}, bit {bit}");
    }
}

#[test]
fn every_truncation_and_every_other_name_is_rejected() {
    let keys = ring(&[1]);
    let (declared, snapshot) = small();
    let sealed = seal(&keys, COOKIE, Cow::Borrowed(&snapshot), &declared).unwrap();
    for len in 0..sealed.len() {
        assert!(opened(&keys, &sealed[..len]).is_none(), "{len}");
        assert!(opened(&keys, &sealed[sealed.len() - len..]).is_none(), "{len}");
    }
    assert!(opened(&keys, &format!("{sealed}A")).is_none());
    assert!(matches!(open(&keys, "sd", &sealed), (None, Seal::Outdated)));
}

#[test]
fn the_ring_opens_all_and_seals_with_the_first() {
    let (old, both, new) = (ring(&[1]), ring(&[2, 1]), ring(&[2]));
    let (declared, snapshot) = small();
    let sealed = seal(&old, COOKIE, Cow::Borrowed(&snapshot), &declared).unwrap();
    assert!(matches!(open(&new, COOKIE, &sealed), (None, Seal::Foreign)));
    let found = opened(&both, &sealed).unwrap();
    assert_eq!(found.1, Seal::Outdated);
    let again = seal(&both, COOKIE, Cow::Borrowed(&found.0), &declared).unwrap();
    assert_eq!(opened(&both, &again).unwrap().1, Seal::Current);
    assert!(opened(&new, &again).is_some());
}

#[test]
fn what_finds_no_room_is_left_out_the_least_important_first() {
    let keys = ring(&[1]);
    let declared = declared(&["first", "second", "third"]);
    let large = |len: usize| format!("\"{}\"", "x".repeat(len));
    let values = [("first", large(1_000)), ("second", large(1_000)), ("third", large(2_000))];
    let whole = snapshot(&declared, &values);
    let sealed = seal(&keys, COOKIE, Cow::Borrowed(&whole), &declared).unwrap();
    let found = opened(&keys, &sealed).unwrap().0;
    let parts: Vec<_> = found.parts.iter().map(|part| part.key.as_str()).collect();
    assert_eq!(parts, ["first", "second"]);
    assert!(!found.is_complete());
}

#[test]
fn the_size_is_known_before_it_is_sealed() {
    let keys = ring(&[1]);
    let declared = declared(&[]);
    for more in 0..12 {
        let mut snapshot = snapshot(&declared, &[]);
        snapshot.subject = Some("s".repeat(100 + more));
        let sealed = seal(&keys, COOKIE, Cow::Borrowed(&snapshot), &declared).unwrap();
        let size = format!("{COOKIE}={sealed}").len();
        assert_eq!(sealed_len(COOKIE, plain_len(&snapshot).unwrap()), size);
        assert!(fits(size, COOKIE, &snapshot) && !fits(size - 1, COOKIE, &snapshot), "{size}");
    }
}

#[test]
fn the_last_byte_that_a_browser_takes_is_used_and_none_more() {
    let keys = ring(&[1]);
    let declared = declared(&[]);
    let mut largest = 0;
    for subject in 2_900..3_100 {
        let mut snapshot = snapshot(&declared, &[]);
        snapshot.subject = Some("s".repeat(subject));
        let sealed = seal(&keys, COOKIE, Cow::Borrowed(&snapshot), &declared);
        let size = sealed.map_or(0, |sealed| format!("{COOKIE}={sealed}").len());
        assert!(size <= 4_096, "{size}");
        largest = largest.max(size);
    }
    // Four characters for three bytes.
    assert!((4_093..=4_096).contains(&largest), "{largest}");
}

#[test]
fn changes_are_never_left_out() {
    let keys = ring(&[1]);
    let (declared, mut snapshot) = small();
    snapshot.changes.values.insert("visits".into(), Some("9".repeat(5_000)));
    assert!(!fits(LARGEST, COOKIE, &snapshot));
    assert!(seal(&keys, COOKIE, Cow::Borrowed(&snapshot), &declared).is_none());
}

proptest! {
    #[test]
    fn a_strangers_bytes_never_open_and_never_panic(value in ".{0,300}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let keys = ring(&[1]);
        prop_assert!(opened(&keys, &value).is_none());
        prop_assert!(opened(&keys, &BASE64_URL_SAFE_NO_PAD.encode(&bytes)).is_none());
        // With a header that is ours the rest is read, too.
        let mut known = vec![FORM];
        known.extend(keys.sealing().unwrap().name);
        known.extend(&bytes);
        prop_assert!(opened(&keys, &BASE64_URL_SAFE_NO_PAD.encode(&known)).is_none());
    }

    #[test]
    fn never_larger_than_a_browser_takes(sizes in prop::collection::vec(0_usize..3_000, 0..8), subject in 0_usize..200) {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let declared = declared(&names);
        let values: Vec<_> = names.iter().zip(&sizes).map(|(name, size)| (*name, "1".repeat(*size))).collect();
        let mut snapshot = snapshot(&declared, &values);
        snapshot.subject = Some("s".repeat(subject));
        let keys = ring(&[1]);
        let sealed = seal(&keys, COOKIE, Cow::Borrowed(&snapshot), &declared).unwrap();
        prop_assert!(COOKIE.len() + 1 + sealed.len() <= LARGEST);
        // What is there is what was there, and as much of it as there is room for.
        let found = opened(&keys, &sealed).unwrap().0;
        prop_assert!(snapshot.parts[..found.parts.len()] == found.parts[..]);
        prop_assert_eq!(found.is_complete(), found.parts.len() == snapshot.parts.len());
    }
}
