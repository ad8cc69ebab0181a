//! The bound, and who is forgotten at it.

use super::*;
use crate::memory::IdHasher;
use std::sync::Arc;

/// Owes until `.0`; pinned when `.1`.
struct Debt(u64, bool);

impl Decaying for Debt {
    fn expires_at(&self) -> u64 {
        self.0
    }
}

fn put(table: &BoundedMap<Debt>, id: Id, now: u64, value: Debt) -> Result<(), Full> {
    table.get_or_insert(id, now, || value, |_| (), |other| other.1 && other.0 > now)
}

#[test]
fn a_flood_never_frees_who_is_pinned() {
    let hasher = IdHasher::random();
    let table = BoundedMap::new(1_000);
    let held: Vec<Id> = (0..300u64).map(|n| hasher.id(1, &n.to_le_bytes())).collect();
    for id in &held {
        assert_eq!(put(&table, *id, 0, Debt(60_000_000, true)), Ok(()));
    }
    for n in 0..200_000u64 {
        // Each owes more than those before it, and more than those that are pinned.
        let _ = put(&table, hasher.id(2, &n.to_le_bytes()), n, Debt(70_000_000 + n, false));
        assert!(table.len() <= 1_000);
    }
    assert!(held.iter().all(|id| table.with(*id, |_| ()).is_some()));
}

#[test]
fn when_all_are_pinned_a_newcomer_is_told() {
    let hasher = IdHasher::random();
    let table = BoundedMap::new(64);
    let mut kept = 0;
    for n in 0..1_000u64 {
        kept +=
            usize::from(put(&table, hasher.id(0, &n.to_le_bytes()), 0, Debt(100, true)).is_ok());
    }
    assert_eq!((kept, table.len()), (64, 64));
    // When their time has come they make room, wherever they are.
    let back = (0..64u64)
        .filter(|n| put(&table, hasher.id(1, &n.to_le_bytes()), 100, Debt(200, true)).is_ok());
    assert_eq!(back.count(), 64);
    assert_eq!(table.len(), 64);
}

#[test]
fn who_owes_least_goes_first() {
    let hasher = IdHasher::random();
    let table = BoundedMap::new(10);
    let ids: Vec<Id> = (0..10u64).map(|n| hasher.id(0, &n.to_le_bytes())).collect();
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(put(&table, *id, 0, Debt(100 + n as u64, n == 1)), Ok(()));
    }
    let is_there = |id: Id| table.with(id, |_| ()).is_some();
    for (name, debt, gone) in [("a", 500, 0), ("b", 300, 2), ("c", 1, 3), ("d", 500, 10)] {
        let id = hasher.id(1, name.as_bytes());
        assert_eq!(put(&table, id, 0, Debt(debt, false)), Ok(()));
        // The second is pinned, and `c` itself owes least when `d` comes.
        let expected: Vec<bool> = (0..10).map(|n| n == 1 || n > gone.min(3)).collect();
        assert_eq!(
            ids.iter().map(|id| is_there(*id)).collect::<Vec<_>>(),
            expected,
            "after {name}"
        );
        assert_eq!(table.len(), 10);
    }
    assert!(!is_there(hasher.id(1, b"c")));
}

#[test]
fn what_owes_nothing_is_not_kept() {
    let table = BoundedMap::new(10);
    let id = IdHasher::random().id(0, b"a");
    assert_eq!(put(&table, id, 5, Debt(5, true)), Ok(()));
    assert!(table.len() == 0);
}

#[test]
fn memory_follows_what_owes() {
    let hasher = IdHasher::random();
    let table = BoundedMap::new(1_000_000);
    let second = 1_000_000;
    for n in 0..200_000u64 {
        // A thousand new ones a second, each owing for ten: 10 000 owe, and 60 000 have lately.
        let now = n * second / 1_000;
        let _ = put(&table, hasher.id(0, &n.to_le_bytes()), now, Debt(now + 10 * second, false));
    }
    assert!(table.len() < 120_000, "{} of 10 000 that owe", table.len());
}

/// How many values all shards hold, and how many shards there are.
fn counted(table: &BoundedMap<Debt>) -> (usize, usize) {
    let shards = (0..).map_while(|shard| table.visit(shard, |values| values.count()));
    shards.fold((0, 0), |(held, shards), more| (held + more, shards + 1))
}

#[test]
fn several_shards_keep_the_bound_and_make_room_for_newcomers() {
    let hasher = IdHasher::random();
    let table = BoundedMap::new(4_096);
    let id = |kind, n: u64| hasher.id(kind, &n.to_le_bytes());
    for round in 0..5u64 {
        // All are pinned until the end of their round, so only sweeping makes room for the next.
        let (now, ends) = (round * 100, round * 100 + 100);
        let kept = (0..20_000).filter(|n| {
            let kept = put(&table, id(round, *n), now, Debt(ends, true)).is_ok();
            assert!(table.len() <= 4_096);
            kept
        });
        assert_eq!(kept.count(), 4_096, "round {round}");
        assert_eq!(counted(&table), (table.len(), 8), "round {round}");
        let held = |shard| table.visit(shard, |values| values.count());
        assert!((0..8).all(|shard| held(shard).is_some_and(|held| held > 0)), "round {round}");
    }
}

#[test]
fn the_count_is_exact_with_many_threads() {
    let hasher = IdHasher::random();
    let table = Arc::new(BoundedMap::new(500));
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (table, hasher) = (Arc::clone(&table), &hasher);
            scope.spawn(move || {
                for n in 0..20_000u64 {
                    let id = hasher.id(thread % 2, &(n % 3_000).to_le_bytes());
                    let _ = put(&table, id, n, Debt(n + n % 700, n % 3 == 0));
                    assert!(table.len() <= 500);
                }
            });
        }
    });
    assert_eq!(counted(&table).0, table.len());
}
