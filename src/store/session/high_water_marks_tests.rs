use proptest::prelude::*;

use super::*;
use crate::store::session::{
    expiry::{Expiry, Times},
    id::SessionId,
};

fn snapshot(version: u64) -> Snapshot {
    let times = Times::beginning(0, Expiry::default());
    let mut snapshot = Snapshot::new_offline(SessionId::from_bytes([1; 16]), times, None);
    snapshot.version = version;
    snapshot
}

fn change(key: &str, json: &str) -> Changes {
    let mut changes = Changes::default();
    changes.values.insert(key.into(), Some(json.into()));
    changes
}

fn write(marks: &HighWaterMarks, onto: &Snapshot, key: &str, json: &str) -> Snapshot {
    marks.change(onto.id().name(), onto, &change(key, json), |_| true).unwrap()
}

#[test]
fn an_older_version_is_older_and_a_newer_one_is_not() {
    let marks = HighWaterMarks::new(100);
    let name = snapshot(3).id().name();
    assert_eq!(marks.reconcile(name, &mut snapshot(0)), Reconciled::Current);
    marks.raise(name, 3);
    marks.raise(name, 2);
    for (version, against) in
        [(2, Reconciled::Stale), (3, Reconciled::Current), (4, Reconciled::Current)]
    {
        assert_eq!(marks.reconcile(name, &mut snapshot(version)), against, "{version}");
    }
    assert!(marks.change(name, &snapshot(2), &change("a", "1"), |_| true).is_none());
}

#[test]
fn an_older_cookie_goes_on_from_the_newest() {
    let marks = HighWaterMarks::new(100);
    let start = snapshot(3);
    let one = write(&marks, &start, "a", "1");
    let two = write(&marks, &one, "a", "2");
    assert_eq!((one.stamp, two.stamp), (1, 2));
    for mut older in [start.clone(), one] {
        assert_eq!(marks.reconcile(start.id().name(), &mut older), Reconciled::Updated);
        assert!(older == two);
    }
    assert_eq!(marks.reconcile(start.id().name(), &mut two.clone()), Reconciled::Current);
}

#[test]
fn two_requests_with_one_cookie_lose_nothing() {
    let marks = HighWaterMarks::new(100);
    let start = snapshot(3);
    write(&marks, &start, "a", "1");
    let both = write(&marks, &start, "b", "2");
    assert!(both.changes == change("a", "1").then(&change("b", "2")));
}

#[test]
fn a_fork_of_another_instance_is_joined() {
    let (here, there) = (HighWaterMarks::new(100), HighWaterMarks::new(100));
    let start = snapshot(3);
    let ours = write(&here, &start, "a", "here");
    let theirs = write(&there, &write(&there, &start, "b", "1"), "a", "there");
    let mut joined = theirs.clone();
    assert_eq!(here.reconcile(start.id().name(), &mut joined), Reconciled::Current);
    assert!(joined.changes == theirs.changes, "the higher stamp counts");
    let ours = write(&here, &ours, "c", "3");
    let mut joined = theirs;
    assert_eq!(here.reconcile(start.id().name(), &mut joined), Reconciled::Updated);
    let keys: Vec<_> = joined.changes.values.keys().map(String::as_str).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert!(joined.stamp >= ours.stamp);
}

#[test]
fn what_another_instance_wrote_counts_once_it_was_seen() {
    let (here, there) = (HighWaterMarks::new(100), HighWaterMarks::new(100));
    let one = write(&there, &snapshot(3), "a", "1");
    let two = write(&there, &one, "a", "2");
    here.observe(two.id().name(), &two);
    let mut older = one;
    assert_eq!(here.reconcile(two.id().name(), &mut older), Reconciled::Updated);
    assert!(older == two);
}

#[test]
fn what_does_not_fit_leaves_no_trace() {
    let marks = HighWaterMarks::new(100);
    let start = snapshot(3);
    let one = write(&marks, &start, "a", "1");
    assert!(marks.change(one.id().name(), &one, &change("b", "2"), |_| false).is_none());
    assert_eq!(marks.reconcile(one.id().name(), &mut one.clone()), Reconciled::Current);
}

#[test]
fn without_room_for_its_changes_an_older_cookie_is_refused() {
    let marks = HighWaterMarks::new(100);
    let start = snapshot(3);
    let large = "x".repeat(ROOM);
    write(&marks, &start, "a", &large);
    assert_eq!(marks.reconcile(start.id().name(), &mut start.clone()), Reconciled::Stale);
}

#[test]
fn room_is_given_back() {
    let marks = HighWaterMarks::new(64);
    for n in 0..2_000_u64 {
        let mut one = snapshot(1);
        one = Snapshot::new_offline(SessionId::random(), one.times, None);
        for _ in 0..n % 4 {
            one = write(&marks, &one, "key", &"x".repeat(n as usize % 500));
        }
    }
    for shard in marks.shards.iter() {
        assert!(shard.marks.len() <= 64 / Shards::<Shard>::COUNT);
        assert!(
            shard.room <= ROOM / Shards::<Shard>::COUNT
                && shard.room > ROOM / Shards::<Shard>::COUNT - 10_000
        );
    }
}

proptest! {
    /// Whatever order copies of one session come back in, what was written last is what is read.
    #[test]
    fn nothing_rolls_back(steps in prop::collection::vec((0_usize..20, 0_u8..4), 1..40)) {
        let marks = HighWaterMarks::new(100);
        let name = snapshot(3).id().name();
        let mut copies = vec![snapshot(3)];
        let mut newest = std::collections::BTreeMap::new();
        for (at, (copy, key)) in steps.into_iter().enumerate() {
            let mut shown = copies[copy % copies.len()].clone();
            prop_assert_ne!(marks.reconcile(name, &mut shown), Reconciled::Stale);
            let (key, json) = (key.to_string(), at.to_string());
            prop_assert_eq!(&shown.changes.values, &newest);
            newest.insert(key.clone(), Some(json.clone()));
            copies.push(write(&marks, &shown, &key, &json));
        }
    }
}
