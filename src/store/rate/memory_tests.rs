//! The limit in memory: shares, the deny cache, settling up, the bound.

use super::*;
use crate::store::rate::{Quota, Retry};
use std::num::NonZeroU32;
use std::time::Duration;

fn who(n: u64) -> Subject {
    Subject::text(n.to_le_bytes())
}

fn on<'a>(policy: &'a RatePolicy, subject: &'a Subject) -> Bucket<'a> {
    Bucket { policy, subject }
}

/// Redis decided so on the first subject.
fn seed(memory: &MemoryLimit, policy: &RatePolicy, now: u64, decision: &Decision) {
    memory.learn(on(policy, &who(1)), (now, now), decision);
}

fn minute(count: u32) -> RatePolicy {
    RatePolicy::from(Quota::per_minute(count))
}

#[test]
fn an_entry_is_half_a_line_of_the_cache() {
    assert_eq!(size_of::<Option<Entry>>() + size_of::<Id>(), 32);
}

#[test]
fn several_windows_are_all_or_nothing() {
    let memory = MemoryLimit::new(100);
    let policy = RatePolicy::from([Quota::per_second(2), Quota::per_minute(3)]);
    let alice = who(1);
    let at = |now, cost| memory.decide(on(&policy, &alice), now, cost);
    assert!(at(0, 1).allowed() && at(0, 1).allowed());
    assert_eq!(at(0, 1).retry(), Some(Retry::After(Duration::from_millis(500))));
    let left: Vec<u32> = policy.levels_in_force(&at(0, 0)).map(|level| level.remaining).collect();
    assert_eq!(left, [0, 1], "the refused one took nothing from the minute");
    assert!(at(1_000_000, 1).allowed());
    assert_eq!(at(2_000_000, 1).retry(), Some(Retry::After(Duration::from_secs(18))));
    assert_eq!(at(2_000_000, 3).retry(), Some(Retry::Never), "more than the second's burst");
}

#[test]
fn policies_and_subjects_are_apart() {
    let memory = MemoryLimit::new(100);
    let (one, other) = (minute(1), minute(1).with_name("other"));
    assert!(memory.decide(on(&one, &who(1)), 0, 1).allowed());
    assert!(memory.decide(on(&other, &who(1)), 0, 1).allowed());
    assert!(memory.decide(on(&one, &who(2)), 0, 1).allowed());
    assert!(!memory.decide(on(&one, &who(1)), 0, 1).allowed());
}

#[test]
fn an_outage_starts_where_redis_left_off() {
    let memory = MemoryLimit::new(100);
    let policy = minute(100);
    let redis = law::decide(policy.whole(), &[54_000_000], 0, 6);
    seed(&memory, &policy, 1_000, &redis);
    let share = policy.share(NonZeroU32::new(4).expect("four"));
    let first = memory.decide(on(&share, &who(1)), 1_000, 1);
    assert_eq!(first.remaining(), 0, "4 of 100 were left, so 1 for each of four");
    assert!(!memory.decide(on(&share, &who(1)), 1_000, 1).allowed());
    assert_eq!(memory.decide(on(&share, &who(2)), 1_000, 0).remaining(), 25);
}

#[test]
fn the_deny_cache_refuses_until_the_announced_instant() {
    let memory = MemoryLimit::new(100);
    let policy = minute(100);
    assert_eq!(memory.denied(on(&policy, &who(1)), 0, 1), None, "unknown");
    let refused = law::decide(policy.whole(), &[60_000_000], 0, 1);
    seed(&memory, &policy, 0, &refused);
    assert_eq!(
        memory.denied(on(&policy, &who(1)), 0, 1).map(|denied| denied.retry()),
        Some(refused.retry())
    );
    assert!(memory.denied(on(&policy, &who(1)), 599_999, 1).is_some());
    assert_eq!(memory.denied(on(&policy, &who(1)), 600_000, 1), None, "Redis is asked");
    assert!(
        memory.denied(on(&policy, &who(1)), 600_000, 2).is_some(),
        "two are refused for longer"
    );
    // An older answer that comes late does not open it.
    seed(&memory, &policy, 0, &law::decide(policy.whole(), &[50_000_000], 0, 1));
    assert!(memory.denied(on(&policy, &who(1)), 599_999, 1).is_some());
    memory.reset(on(&policy, &who(1)));
    assert_eq!(memory.denied(on(&policy, &who(1)), 1, 1), None);
}

#[test]
fn what_took_long_to_be_answered_is_announced_later() {
    let memory = MemoryLimit::new(100);
    let policy = minute(100);
    let refused = law::decide(policy.whole(), &[60_000_000], 0, 1);
    memory.learn(on(&policy, &who(1)), (0, 2_000), &refused);
    let wait = |now| memory.denied(on(&policy, &who(1)), now, 1).and_then(|denied| denied.retry());
    assert_eq!(wait(2_000), Some(Retry::After(Duration::from_millis(600))));
    assert!(wait(599_999).is_some());
    assert_eq!(wait(600_000), None, "Redis may admit it by now");
    let local = |now| memory.decide(on(&policy, &who(1)), now, 1).allowed();
    assert_eq!((local(601_999), local(602_000)), (false, true), "without it, it may not yet");
    let never = memory.denied(on(&policy, &who(1)), 2_000, 101).and_then(|denied| denied.retry());
    assert_eq!(never, Some(Retry::Never));
}

#[test]
fn local_debts_are_not_taken_for_redis_answers() {
    let memory = MemoryLimit::new(100);
    let policy = minute(100);
    let share = policy.share(NonZeroU32::new(100).expect("a hundred"));
    assert!(memory.decide(on(&share, &who(1)), 0, 1).allowed());
    assert!(!memory.decide(on(&share, &who(1)), 0, 1).allowed());
    assert_eq!(memory.denied(on(&policy, &who(1)), 0, 1), None, "99 of 100 are left in Redis");
}

fn all(memory: &MemoryLimit, now: u64, instances: u32) -> Vec<Owed> {
    let instances = NonZeroU32::new(instances).expect("not zero");
    (0..).map_while(|part| memory.owed(part, now, instances, false)).flatten().collect()
}

#[test]
fn what_was_admitted_is_owed_once() {
    let memory = MemoryLimit::new(10_000);
    let policy = RatePolicy::from([Quota::per_minute(100), Quota::per_second(50)]);
    for n in 0..500 {
        for _ in 0..=n % 3 {
            assert!(memory.decide(on(&policy, &who(n)), 0, 1).allowed());
        }
    }
    let owed = all(&memory, 10_000, 1);
    assert_eq!(owed.len(), 500);
    let spent: u64 = owed.iter().map(|owed| (owed.charge.add[0] + 10_000) / 600_000).sum();
    assert_eq!(spent, (0..500).map(|n| n % 3 + 1).sum::<u64>());
    for owed in &owed {
        assert_eq!(owed.charge.floor, [0; MAX_WINDOWS]);
        memory.settle(owed, 10_000, &[1_000_000, 0]);
    }
    assert_eq!(all(&memory, 10_000, 1).len(), 0);
    let after = memory.decide(on(&policy, &who(0)), 10_000, 0);
    assert_eq!(after.reset_after(), Duration::from_secs(1), "Redis's word replaces ours");
}

#[test]
fn what_is_admitted_while_settling_is_still_owed() {
    for policy in [minute(100), RatePolicy::from([Quota::per_minute(100), Quota::per_hour(1_000)])]
    {
        let memory = MemoryLimit::new(10);
        memory.decide(on(&policy, &who(1)), 0, 3);
        let owed = all(&memory, 0, 1);
        memory.decide(on(&policy, &who(1)), 1_000, 2);
        memory.settle(&owed[0], 2_000, &[1_800_000, 10_800_000]);
        let rest = all(&memory, 2_000, 1);
        assert_eq!((rest[0].charge.add[0], rest[0].charge.floor[0]), (1_200_000, 1_800_000));
    }
}

#[test]
fn settling_does_not_hand_out_the_share_again() {
    for policy in [minute(100), RatePolicy::from([Quota::per_minute(100), Quota::per_hour(1_000)])]
    {
        let memory = MemoryLimit::new(10);
        let share = policy.share(NonZeroU32::new(4).expect("four"));
        let spent = |now| {
            (0..99).take_while(|_| memory.decide(on(&share, &who(1)), now, 1).allowed()).count()
        };
        assert_eq!(spent(0), 25);
        let owed = all(&memory, 0, 4);
        memory.settle(&owed[0], 1_000, &owed[0].charge.add);
        assert_eq!(spent(2_000), 0, "Redis was told of 25 of 100, and the share is still used up");
        assert!(memory.denied(on(&policy, &who(1)), 2_000, 1).is_none(), "Redis has more");
        assert_eq!(all(&memory, 2_000, 4).len(), 0, "charged once");
        assert_eq!(spent(2_400_000), 1);
        let again = &all(&memory, 2_400_000, 4)[0];
        assert_eq!(again.charge.add[0], 600_000);
    }
}

#[test]
fn what_redis_says_while_something_is_unpaid_comes_beneath_it() {
    let memory = MemoryLimit::new(10);
    let policy = minute(100);
    memory.decide(on(&policy, &who(1)), 0, 10);
    seed(&memory, &policy, 0, &law::decide(policy.whole(), &[30_000_000], 0, 0));
    let owed = &all(&memory, 0, 1)[0];
    assert_eq!((owed.charge.add[0], owed.charge.floor[0]), (6_000_000, 30_000_000));
    assert_eq!(memory.decide(on(&policy, &who(1)), 0, 0).remaining(), 40);
}

#[test]
fn what_a_lost_redis_knew_is_named_as_well() {
    let memory = MemoryLimit::new(10);
    let policy = minute(100);
    seed(&memory, &policy, 0, &law::decide(policy.whole(), &[], 0, 100));
    assert_eq!(all(&memory, 0, 4).len(), 0);
    let one = NonZeroU32::MIN;
    let lost: Vec<Owed> =
        (0..).map_while(|part| memory.owed(part, 1_000_000, one, true)).flatten().collect();
    assert_eq!((lost[0].charge.add[0], lost[0].charge.floor[0]), (0, 59_000_000));
    assert_eq!(lost[0].charge_at(60_000_000).floor[0], 0);
}

#[test]
fn what_redis_knew_is_not_charged_again() {
    let memory = MemoryLimit::new(10);
    let policy = minute(100);
    seed(&memory, &policy, 0, &law::decide(policy.whole(), &[], 0, 10));
    assert_eq!(all(&memory, 0, 1).len(), 0);
    let share = policy.share(NonZeroU32::new(4).expect("four"));
    assert!(memory.decide(on(&share, &who(1)), 0, 1).allowed());
    let owed = all(&memory, 1_000_000, 4);
    assert_eq!((owed[0].charge.add[0], owed[0].charge.floor[0]), (600_000, 5_000_000));
}

#[test]
fn an_outage_longer_than_the_window_owes_nothing() {
    let memory = MemoryLimit::new(10);
    memory.decide(on(&minute(100), &who(1)), 0, 100);
    assert_eq!(all(&memory, 60_000_000, 1).len(), 0);
}

#[test]
fn threads_at_one_subject_never_pass_the_limit() {
    for policy in
        [minute(1_000), RatePolicy::from([Quota::per_minute(1_000), Quota::per_hour(2_000)])]
    {
        let memory = MemoryLimit::new(10);
        let admitted = std::thread::scope(|scope| {
            let thread = || {
                (0..2_000).filter(|_| memory.decide(on(&policy, &who(1)), 5, 1).allowed()).count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(thread)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum::<usize>()
        });
        assert_eq!(admitted, 1_000);
    }
}

#[test]
fn a_flood_frees_nobody_and_is_limited_as_one() {
    let memory = MemoryLimit::new(1_000);
    let policy = minute(10);
    let throttled: Vec<Subject> = (0..1_000).map(who).collect();
    for subject in &throttled {
        assert!(memory.decide(on(&policy, subject), 0, 10).allowed());
    }
    let admitted =
        (1_000..50_000).filter(|n| memory.decide(on(&policy, &who(*n)), 1, 1).allowed()).count();
    assert_eq!(admitted, 10, "all newcomers share one bucket");
    assert!(throttled.iter().all(|subject| !memory.decide(on(&policy, subject), 1, 1).allowed()));
    assert_eq!(memory.len(), 1_000);
}

#[test]
fn a_cost_that_never_fits_is_not_kept() {
    let memory = MemoryLimit::new(10);
    assert_eq!(memory.decide(on(&minute(5), &who(1)), 0, 6).retry(), Some(Retry::Never));
    assert_eq!(memory.len(), 0);
}

#[test]
fn a_clock_that_steps_back_shuts_nobody_out_for_longer_than_a_burst() {
    let memory = MemoryLimit::new(10);
    let policy = minute(60);
    memory.decide(on(&policy, &who(1)), 3_600_000_000, 60);
    assert!(!memory.decide(on(&policy, &who(1)), 0, 1).allowed());
    assert!(
        memory.decide(on(&policy, &who(1)), 1_000_000, 1).allowed(),
        "one cell after one second"
    );
}
