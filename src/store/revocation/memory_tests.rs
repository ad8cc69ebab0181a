use super::super::clock::Until;
use super::*;
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000_000;
const LATER: u64 = NOW / 1000 + 3600;

fn digest(n: u32) -> Digest {
    let mut bytes = [0; 16];
    bytes[0] = n as u8;
    bytes[8..12].copy_from_slice(&n.to_le_bytes());
    Digest::from_bytes(bytes)
}

fn id(n: u32) -> Entry {
    Entry { digest: digest(n), until: Until::from_unix(LATER), cut_off: 0 }
}

fn token(n: u32) -> Token {
    Token { id: Some(digest(n)), subject: None, issued_at: Some(NOW - 1) }
}

fn pending(table: &Table) -> Vec<Entry> {
    (0..SHARDS).filter_map(|shard| table.pending(shard)).flatten().collect()
}

#[test]
fn what_is_noted_is_known_until_it_has_expired() {
    let table = Table::new(10);
    assert_eq!(table.insert(id(1), PENDING, NOW), Kept::Yes);
    assert!(table.lookup(&token(1)).listed);
    assert!(!table.lookup(&token(2)).listed);
    table.purge(LATER * 1000);
    assert!(table.lookup(&token(1)).listed, "not before its expiry, and not at once after it");
    table.purge(LATER * 1000 + 3_600_000);
    assert!(!table.lookup(&token(1)).listed);
    assert_eq!(table.len(), 0);
}

#[test]
fn pending_is_what_redis_does_not_hold() {
    let table = Table::new(10);
    table.insert(id(1), PENDING, NOW);
    table.insert(id(2), 7, NOW);
    assert_eq!(pending(&table), [id(1)]);
    table.confirm(&[id(1)], 8);
    assert_eq!(pending(&table), []);
    let longer = Entry { until: Until::from_unix(LATER + 5), ..id(1) };
    table.insert(longer, PENDING, NOW);
    table.confirm(&[id(1)], 9);
    assert_eq!(pending(&table), [longer], "Redis holds the shorter one only");
    table.confirm(&[longer], 9);
    table.mark_pending(8);
    assert_eq!(pending(&table), [longer], "what Redis was told later may be lost");
    table.mark_pending(PENDING);
    assert_eq!(pending(&table).len(), 2);
}

#[test]
fn at_the_bound_redis_keeps_what_it_holds_and_the_horizon_says_so() {
    let table = Table::new(3);
    for n in 0..3 {
        assert_eq!(table.insert(id(n), 1, NOW), Kept::Yes);
    }
    assert_eq!(table.horizon(), 0);
    assert_eq!(table.insert(id(3), 1, NOW), Kept::OnlyByRedis);
    assert_eq!((table.len(), table.horizon()), (3, NOW));
    // What only we know makes room for itself, from another shard as well.
    assert_eq!(table.insert(id(4), PENDING, NOW), Kept::Yes);
    assert!(table.lookup(&token(4)).listed);
    assert_eq!(table.len(), 3);
    assert_eq!(table.insert(id(5), PENDING, NOW), Kept::Yes);
    assert_eq!(table.insert(id(6), PENDING, NOW), Kept::Yes);
    assert_eq!(table.insert(id(7), PENDING, NOW), Kept::No, "all are pending");
    assert_eq!(table.insert(id(6), PENDING, NOW), Kept::Yes, "it is there already");
    assert_eq!(table.lookup(&token(1)).global_cut_off, 0);
    // When Redis loses its data, what was dropped is in nobody's hands.
    table.mark_pending(PENDING);
    assert_eq!(table.lookup(&token(1)).global_cut_off, NOW);
}

#[test]
fn that_it_is_full_is_said_once_and_at_once() {
    #[derive(Clone, Default)]
    struct Log(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let fill = |table: &Table, from: u32| {
        table.insert(id(from), 1, NOW);
    };
    // Where a log line is made is known to all threads before this one listens.
    let other = Table::new(1);
    (0..2).for_each(|n| fill(&other, n));

    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let lines = || String::from_utf8_lossy(&log.0.lock()).matches("is full").count();
    tracing::subscriber::with_default(subscriber, || {
        let table = Table::new(2);
        (0..2).for_each(|n| fill(&table, n));
        assert_eq!(lines(), 0);
        fill(&table, 2);
        assert_eq!(lines(), 1);
        (3..50).for_each(|n| fill(&table, n));
        assert_eq!(lines(), 1, "one line, not one for each");
    });
}

#[test]
fn several_shards_keep_one_bound_and_lose_nothing_on_the_way() {
    let table = Table::new(1_000);
    let old = |n| Entry { until: Until::from_unix(NOW / 1000 + 3600), ..id(n) };
    for n in 0..1_000 {
        assert_eq!(table.insert(old(n), PENDING, NOW), Kept::Yes);
    }
    assert_eq!((table.len(), pending(&table).len()), (1_000, 1_000));
    assert_eq!(table.insert(id(1_000), PENDING, NOW), Kept::No);
    // Two hours later these make room, whichever shard they are in, and are counted once.
    let later = NOW + 2 * 3_600_000;
    table.purge(later);
    assert_eq!(table.len(), 0);
    for n in 2_000..3_000 {
        let entry = Entry { until: Until::from_unix(later / 1000 + 3600), ..id(n) };
        assert_eq!(table.insert(entry, PENDING, later), Kept::Yes);
    }
    assert_eq!(table.insert(id(3_000), PENDING, later), Kept::No, "the bound is as it was");
    assert!((2_000..3_000).all(|n| table.lookup(&token(n)).listed));
    assert_eq!(table.horizon(), 0);
}

#[test]
fn what_outlives_a_purge_is_still_counted_token_ids_and_cut_offs_alike() {
    const MANY: u32 = 4 * SHARDS as u32;
    let table = Table::new(MANY as usize);
    // In each shard one token id and one cut-off that expire soon, and one of each that stay.
    let (stays, cuts) = (|n: u32| n / 256 % 2 == 1, |n: u32| n / 512 % 2 == 1);
    for n in 0..MANY {
        let until = if stays(n) { LATER + 86_400 } else { LATER };
        let cut_off = if cuts(n) { NOW } else { 0 };
        let entry = Entry { digest: digest(n), until: Until::from_unix(until), cut_off };
        assert_eq!(table.insert(entry, PENDING, NOW), Kept::Yes);
    }
    let in_shard = |shard| table.pending(shard).map(|held| held.len());
    assert!((0..SHARDS).all(|shard| in_shard(shard) == Some(4)), "each shard has its part");
    let later = LATER * 1000 + 3_600_000;
    table.purge(later);
    assert_eq!((table.len(), pending(&table).len()), (2 * SHARDS, 2 * SHARDS));
    for n in 0..MANY {
        let found = table.lookup(&Token { subject: Some(digest(n)), ..token(n) });
        assert_eq!(found.listed, stays(n) && !cuts(n), "{n}");
        assert_eq!(found.subject_cut_off, if stays(n) && cuts(n) { NOW } else { 0 }, "{n}");
    }
    // As many find room as were forgotten, and no more.
    let fresh = |n| Entry { until: Until::from_unix(LATER + 86_400), ..id(n) };
    let kept = (MANY..2 * MANY).filter(|n| table.insert(fresh(*n), PENDING, later) == Kept::Yes);
    assert_eq!(kept.count(), 2 * SHARDS);
}

#[test]
fn what_has_expired_makes_room_first() {
    let table = Table::new(1);
    let old = Entry { until: Until::from_unix(NOW / 1000 - 3600), ..id(256) };
    table.insert(old, PENDING, NOW);
    assert_eq!(table.insert(id(0), PENDING, NOW), Kept::Yes);
    assert_eq!((table.len(), table.horizon()), (1, 0));
}

#[test]
fn a_cut_off_of_everybody_waits_until_redis_has_it() {
    let table = Table::new(1);
    assert_eq!(table.pending_global_cut_off(), None);
    table.raise_global_cut_off(NOW);
    assert_eq!(table.pending_global_cut_off(), Some(NOW));
    assert_eq!(table.lookup(&token(1)).global_cut_off, NOW);
    table.redis_has_global_cut_off(NOW);
    assert_eq!(table.pending_global_cut_off(), None);
    table.redis_has_global_cut_off(NOW - 1);
    assert_eq!(table.lookup(&token(1)).global_cut_off, NOW, "never lowered");
}

#[derive(Debug, Clone)]
enum Step {
    Note(u32, u64, bool),
    Confirm(u32, u64),
    MarkPending,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u32..12, 0u64..5, any::<bool>()).prop_map(|(n, more, told)| Step::Note(n, more, told)),
        (0u32..12, 0u64..5).prop_map(|(n, more)| Step::Confirm(n, more)),
        Just(Step::MarkPending),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    /// Whatever happens, at any bound: what was noted is known, or older tokens are not judged by
    /// this table, or the one who noted it was told to revoke everything.
    #[test]
    fn nothing_is_silently_forgotten(steps in steps(), bound in 1usize..10) {
        let table = Table::new(bound);
        let mut noted = std::collections::HashSet::new();
        for step in steps {
            match step {
                Step::Note(n, more, told) => {
                    let entry = Entry { until: Until::from_unix(LATER + more), ..id(n) };
                    let kept = table.insert(entry, u32::from(told), NOW);
                    if kept != Kept::No {
                        noted.insert(n);
                    }
                }
                Step::Confirm(n, more) if table.lookup(&token(n)).listed => {
                    let entry = Entry { until: Until::from_unix(LATER + more), ..id(n) };
                    table.confirm(&[entry], 1);
                }
                Step::Confirm(..) => {}
                Step::MarkPending => table.mark_pending(PENDING),
            }
            prop_assert!(table.len() <= bound);
            for n in &noted {
                prop_assert!(table.lookup(&token(*n)).listed || table.horizon() == NOW, "{}", n);
            }
            let held = (0..12).filter(|n| table.lookup(&token(*n)).listed).count();
            prop_assert_eq!(held, table.len());
        }
    }
}
