//! The law against its oracle, and what it promises.

use super::*;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const SECOND: u64 = 1_000_000;

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let window = (1u64..5_000, 1u32..40).prop_map(|(emission, burst)| Window::new(emission, burst));
    proptest::collection::vec(window, 1..=MAX_WINDOWS)
}

fn store(now: u64, decision: &Decision) -> Vec<u64> {
    decision.debts().iter().map(|debt| now + debt).collect()
}

fn wait(decision: &Decision) -> Option<u64> {
    match decision.retry()? {
        Retry::After(wait) => Some(wait.as_micros() as u64),
        Retry::Never => None,
    }
}

/// The vector of FACTS.md: five a burst, one a second.
#[test]
fn the_vector() {
    let five = [Window::new(SECOND, 5)];
    let mut tats = vec![0];
    let origin = 1_763_700_000 * SECOND;
    // Tenths of a second, cost, allowed, left, tenths until full, tenths until retry (0: never).
    for (at, cost, allowed, left, full, retry) in [
        (0, 6, false, 5, 0, 0),
        (0, 1, true, 4, 10, 0),
        (0, 1, true, 3, 20, 0),
        (0, 1, true, 2, 30, 0),
        (0, 1, true, 1, 40, 0),
        (0, 1, true, 0, 50, 0),
        (0, 1, false, 0, 50, 10),
        (30, 1, true, 2, 30, 0),
        (31, 1, true, 1, 39, 0),
        (40, 1, true, 1, 40, 0),
        (80, 1, true, 4, 10, 0),
        (95, 1, true, 4, 10, 0),
        (95, 0, true, 4, 10, 0),
        (95, 2, true, 2, 30, 0),
        (95, 5, false, 2, 30, 30),
        (150, 6, false, 5, 0, 0),
    ] {
        let now = origin + at * SECOND / 10;
        let decision = decide(&five, &tats, now, cost);
        let step = format!("at {at}, cost {cost}");
        assert_eq!(decision.allowed(), allowed, "{step}");
        assert_eq!(decision.remaining(), left, "{step}");
        assert_eq!(decision.reset_after(), Duration::from_millis(full * 100), "{step}");
        let expected = match (allowed, retry) {
            (true, _) => None,
            (false, 0) => Some(Retry::Never),
            (false, tenths) => Some(Retry::After(Duration::from_millis(tenths * 100))),
        };
        assert_eq!(decision.retry(), expected, "{step}");
        tats = store(now, &decision);
    }
}

#[test]
fn next_after_is_when_one_more_is_left() {
    let window = Window::new(600, 100);
    assert_eq!(window.next_after(0), 0);
    assert_eq!(window.next_after(600), 600);
    assert_eq!(window.next_after(1), 1);
    assert_eq!(window.next_after(60_000), 600);
    assert_eq!(window.next_after(59_999), 599);
    for debt in 1..=60_000 {
        let next = window.next_after(debt);
        assert_eq!(window.remaining(debt - next), window.remaining(debt) + 1);
        assert_eq!(window.remaining(debt - next + 1), window.remaining(debt), "and not earlier");
    }
}

proptest! {
    #[test]
    fn refused_until_exactly_when_announced(
        windows in windows(), ahead in proptest::collection::vec(0u64..300_000, MAX_WINDOWS),
        now in 0u64..1 << 50, cost in 1u32..50,
    ) {
        let tats: Vec<u64> = ahead.iter().map(|ahead| now + ahead).collect();
        let tats = store(now, &decide(&windows, &tats, now, 0));
        let decision = decide(&windows, &tats, now, cost);
        match decision.retry() {
            None => prop_assert!(decision.allowed()),
            Some(Retry::Never) => prop_assert!(windows.iter().any(|window| cost > window.burst)),
            Some(Retry::After(_)) => {
                let wait = wait(&decision).unwrap_or(0);
                for early in [0, 1, wait / 2, wait - 1] {
                    let early = early.min(wait - 1);
                    let again = decide(&windows, &tats, now + early, cost);
                    prop_assert!(!again.allowed(), "admitted after {early} of {wait}");
                }
                prop_assert!(decide(&windows, &tats, now + wait, cost).allowed());
            }
        }
    }

    #[test]
    fn all_windows_or_none(
        windows in windows(), ahead in proptest::collection::vec(0u64..300_000, MAX_WINDOWS),
        now in 0u64..1 << 50, cost in 0u32..50,
    ) {
        let tats: Vec<u64> = ahead.iter().map(|ahead| now + ahead).collect();
        let before = decide(&windows, &tats, now, 0);
        let decision = decide(&windows, &tats, now, cost);
        for (index, window) in windows.iter().enumerate() {
            let alone = decide(&windows[index..=index], &tats[index..], now, cost);
            prop_assert!(alone.allowed() || !decision.allowed());
            let taken = decision.debts()[index] - before.debts()[index];
            let due = if decision.allowed() { u64::from(cost) * window.emission } else { 0 };
            prop_assert_eq!(taken, due);
        }
        let stored = decide(&windows, &store(now, &decision), now, 0);
        prop_assert_eq!(stored.debts(), decision.debts());
        prop_assert!(before.allowed(), "a peek is always answered");
        prop_assert_eq!(decide_one(&windows[0], tats[0], now, cost), decide(&windows[..1], &tats, now, cost));
    }

    #[test]
    fn never_more_than_burst_and_elapsed(
        windows in windows(),
        steps in proptest::collection::vec((0u64..20_000, 1u32..6), 1..80),
    ) {
        let (mut now, mut tats, mut admitted) = (12_345u64, vec![0; windows.len()], vec![]);
        for (pause, cost) in steps {
            now += pause;
            let decision = decide(&windows, &tats, now, cost);
            tats = store(now, &decision);
            if decision.allowed() {
                admitted.push((now, u64::from(cost)));
            }
        }
        for window in &windows {
            for (index, (from, _)) in admitted.iter().enumerate() {
                let mut sum = 0;
                for (until, cost) in &admitted[index..] {
                    sum += cost;
                    prop_assert!(sum <= u64::from(window.burst) + (until - from) / window.emission);
                }
            }
        }
    }

    #[test]
    fn impossible_times_are_clamped(windows in windows(), tats in proptest::collection::vec(any::<u64>(), 0..12), now in 0u64..1 << 53) {
        let decision = decide(&windows, &tats, now, 1);
        for ((debt, window), tat) in decision.debts().iter().zip(&windows).zip(tats.iter().chain([&0; 8])) {
            prop_assert!(*debt <= window.tolerance);
            if *tat > now + window.tolerance {
                prop_assert_eq!(*debt, window.tolerance, "owes all, and no more");
            }
        }
        let longest = windows.iter().map(|window| window.tolerance).max().unwrap_or(0);
        prop_assert!(wait(&decision).unwrap_or(0) <= longest);
        prop_assert!(decide(&windows, &store(now, &decision), now + longest, 1).allowed());
    }

    #[test]
    fn what_redis_says_reads_the_same(
        windows in windows(), ahead in proptest::collection::vec(0u64..300_000, MAX_WINDOWS), cost in 0u32..50,
    ) {
        let decision = decide(&windows, &ahead, 0, cost);
        let read = Decision::from_redis(&windows, decision.allowed(), decision.debts(), cost);
        prop_assert_eq!(read, decision);
    }

    #[test]
    fn nothing_overflows(
        emission in 1u64..=315_360_000_000_000, burst in 1u32..=u32::MAX, share in 1u32..=10_000,
        tat in any::<u64>(), now in 0u64..1 << 60, cost in any::<u32>(),
    ) {
        let burst = burst.min(u32::try_from(630_720_000_000_000 / emission).unwrap_or(u32::MAX)).max(1);
        let windows = [Window::new(emission, burst).share(share)];
        let decision = decide(&windows, &[tat], now, cost);
        let _ = decide(&windows, &store(now, &decision), now, cost);
        let _ = windows[0].next_after(decision.debts()[0]);
    }
}

/// The law written out, as it stood here before `governor`'s.
mod oracle {
    /// Emission and burst.
    pub(super) type Window = (u64, u32);

    pub(super) fn decide(windows: &[Window], debts: &[u64], cost: u32) -> Result<Vec<u64>, u64> {
        let each = || windows.iter().zip(debts);
        match each().map(|(window, debt)| wait(*window, *debt, cost)).max() {
            None | Some(0) => {}
            Some(wait) => return Err(wait),
        }
        Ok(each().map(|((emission, _), debt)| debt + u64::from(cost) * emission).collect())
    }

    fn wait((emission, burst): Window, debt: u64, cost: u32) -> u64 {
        if cost == 0 {
            return 0;
        }
        if cost > burst {
            return u64::MAX;
        }
        (debt + u64::from(cost) * emission).saturating_sub(emission * u64::from(burst))
    }
}

/// 1.2 million decisions, from one microsecond to ten years, on shares as well, near what is
/// decisive as well as anywhere.
#[test]
fn governors_law_is_ours_to_the_microsecond() {
    const LONGEST: u64 = 630_720_000_000_000;
    let mut random = StdRng::seed_from_u64(20_261_125);
    let log = |random: &mut StdRng, most: u64| {
        let bits = random.random_range(0..=most.ilog2());
        random.random_range(1..=(1_u64 << bits).saturating_mul(2).min(most))
    };
    for _ in 0..120_000 {
        let whole: Vec<Window> = (0..random.random_range(1..=MAX_WINDOWS))
            .map(|_| {
                let emission = log(&mut random, LONGEST / 2);
                let burst = log(&mut random, (LONGEST / emission).min(u32::MAX.into()));
                Window::new(emission, burst as u32)
            })
            .collect();
        let share = if random.random() { 1 } else { log(&mut random, 10_000) as u32 };
        let windows: Vec<Window> = whole.iter().map(|window| window.share(share)).collect();
        let numbers: Vec<(u64, u32)> =
            windows.iter().map(|window| (window.emission, window.burst)).collect();
        for _ in 0..10 {
            let cost = match random.random_range(0..4) {
                0 => random.random_range(0..=3),
                1 => random.random(),
                2 => windows[0].burst.saturating_add(random.random_range(0..=1)),
                _ => log(&mut random, windows[0].burst.into()) as u32,
            };
            let debts: Vec<u64> = windows
                .iter()
                .map(|window| {
                    let just =
                        window.tolerance.saturating_sub(window.price(cost.min(window.burst)));
                    match random.random_range(0..3) {
                        0 => random.random_range(0..=window.tolerance),
                        1 => (just + random.random_range(0..=2)).min(window.tolerance),
                        _ => just.saturating_sub(random.random_range(0..=2)),
                    }
                })
                .collect();
            let now = random.random_range(0..1_u64 << 53);
            let tats: Vec<u64> = debts.iter().map(|debt| now + debt).collect();
            let decision = decide(&windows, &tats, now, cost);
            let told = match decision.retry() {
                None => Ok(decision.debts().to_vec()),
                Some(Retry::Never) => Err(u64::MAX),
                Some(Retry::After(wait)) => Err(wait.as_micros() as u64),
            };
            assert_eq!(
                told,
                oracle::decide(&numbers, &debts, cost),
                "{windows:?}, {debts:?}, {cost}"
            );
            if !decision.allowed() {
                assert_eq!(decision.debts(), debts, "what is refused takes nothing");
            }
        }
    }
}
