//! Two hundred processes' worth of monitors that lose the same Redis in the same instant.

use std::collections::BTreeMap;

use super::*;

const INSTANCES: usize = 200;

/// The most that reconnect in the same 100 ms after Redis was away for this long.
async fn most_at_once(away: Duration, traffic: bool) -> usize {
    let fake = Fake::new(Behaviour::Well);
    let monitors: Vec<_> = (0..INSTANCES).map(|_| start(&fake)).collect();
    for monitor in &monitors {
        assert!(monitor.wait_available(SECOND).await);
    }
    let mut streams: Vec<_> = monitors.iter().map(HealthMonitor::transitions).collect();
    fake.set(Behaviour::Refuses);
    let lost = Instant::now();
    for monitor in &monitors {
        meets(monitor, REFUSED);
    }
    let requests = tokio::spawn(async move {
        loop {
            if traffic {
                monitors.iter().for_each(HealthMonitor::request_probe);
            }
            tokio::time::sleep(5 * MS).await;
        }
    });
    tokio::time::sleep(away).await;
    fake.set(Behaviour::Well);
    let mut slots = BTreeMap::<u128, usize>::new();
    for stream in &mut streams {
        let back = loop {
            let transition = stream.recv().await.unwrap();
            if transition.status.state == State::Connected {
                break transition.status.since;
            }
        };
        assert!(!traffic || back <= lost + away + SECOND, "{:?} after {away:?}", back - lost);
        *slots.entry((back - lost).as_millis() / 100).or_default() += 1;
    }
    requests.abort();
    slots.values().copied().max().unwrap_or(0)
}

/// Of two hundred draws chance puts a few more than the law's 15 % into one slot now and then: that
/// is held to it in `policy_tests/herd.rs`. Here a quarter tells whether the monitors follow the
/// law at all.
const LUCK: usize = INSTANCES / 4;

#[tokio::test(start_paused = true)]
async fn idle() {
    for away in [300, 2_500, 12_000, 60_000] {
        let most = most_at_once(away * MS, false).await;
        assert!(most <= LUCK, "{most} of {INSTANCES} after {away} ms");
    }
}

/// All come back within a second.
#[tokio::test(start_paused = true)]
async fn under_traffic() {
    for away in [300, 2_500, 12_000] {
        let most = most_at_once(away * MS, true).await;
        assert!(most <= LUCK, "{most} of {INSTANCES} after {away} ms");
    }
}
