//! Many instances that lose the same Redis in the same instant.

use std::collections::BTreeMap;

use super::*;

/// For each instance: when it reconnects to a Redis that is away for this long, from a loss that
/// all meet at once.
fn returns(instances: u64, away: Duration, traffic: bool) -> Vec<Duration> {
    (0..instances).map(|seed| one_return(seed, away, traffic)).collect()
}

fn one_return(seed: u64, away: Duration, traffic: bool) -> Duration {
    let mut watched = Watched::connected(seed);
    watched.now = Duration::ZERO;
    watched.goes_down(REFUSED);
    loop {
        if traffic {
            watched.policy.probe_requested(watched.now);
        }
        watched.asks();
        if watched.now >= away {
            return watched.now;
        }
        watched.policy.probed(Err(REFUSED), watched.now);
    }
}

/// The largest share of them in one slot of 100 ms.
fn largest_share(returns: &[Duration]) -> f64 {
    let mut slots = BTreeMap::<u128, usize>::new();
    for at in returns {
        *slots.entry(at.as_millis() / 100).or_default() += 1;
    }
    slots.values().copied().max().unwrap_or(0) as f64 / returns.len() as f64
}

const AWAY: [u64; 8] = [50, 400, 1_000, 1_700, 3_000, 9_000, 30_000, 120_000];

/// The law, without the luck of two hundred draws: ten times as many.
#[test]
fn no_slot_of_100_ms_holds_more_than_15_percent() {
    for traffic in [false, true] {
        for away in AWAY.map(Duration::from_millis) {
            let share = largest_share(&returns(2_000, away, traffic));
            assert!(share <= 0.15, "{share} after {away:?}, traffic: {traffic}");
        }
    }
}

#[test]
fn idle_instances_come_back_over_seconds() {
    for away in AWAY.map(Duration::from_millis) {
        let share = largest_share(&returns(200, away, false));
        assert!(share <= 0.15, "{share} after {away:?}");
    }
}

#[test]
fn under_traffic_all_are_back_within_a_second() {
    for away in AWAY.map(Duration::from_millis) {
        let last = returns(2_000, away, true).into_iter().max().unwrap();
        assert!(last < away + SECOND, "{last:?} after {away:?}");
    }
}
