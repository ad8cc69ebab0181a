//! What the task asks, and what it makes of what comes back.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_is_a_probe_that_failed() {
    let (monitor, fake) = connected().await;
    fake.set(Behaviour::Panics);
    reaches(&monitor, State::Disconnected).await;
    let (fault, _) = monitor.status().last_fault.unwrap();
    assert_eq!(fault.to_string(), "transport: panic");
    fake.set(Behaviour::Well);
    assert!(monitor.wait_available(20 * SECOND).await, "{monitor:?}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_is_cut_off() {
    let (monitor, fake) = connected().await;
    fake.set(Behaviour::Hangs);
    let began = Instant::now();
    reaches(&monitor, State::Disconnected).await;
    // One interval, and one probe timeout.
    assert!(began.elapsed() <= 5_500 * MS + 2 * SECOND, "after {:?}", began.elapsed());
    assert_eq!(monitor.status().last_fault.map(|(fault, _)| fault), Some(Fault::HANG));
    // It goes on to ask, and comes back.
    fake.set(Behaviour::Well);
    assert!(monitor.wait_available(20 * SECOND).await, "{monitor:?}");
}

#[tokio::test(start_paused = true)]
async fn evidence_turns_the_state_before_anybody_is_asked() {
    let (monitor, fake) = connected().await;
    let asked = fake.asks().len();
    assert!(meets(&monitor, Fault::HANG));
    assert!(!monitor.is_available() && !monitor.can_read());
    assert_eq!((monitor.state(), fake.asks().len()), (State::Suspect, asked));
    assert!(monitor.wait_available(SECOND).await);
    assert_eq!(monitor.status().outages, 0);
    assert!(fake.outages.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_the_first_of_many_reports_counts_and_late_ones_never() {
    let (monitor, fake) = connected().await;
    let before = monitor.admit();
    let reports: Vec<_> =
        (0..1000).map(|_| monitor.report(before, REFUSED, Instant::now())).collect();
    assert_eq!(reports.iter().filter(|turned| **turned).count(), 1);
    assert!(monitor.wait_available(SECOND).await);
    let asked = fake.asks().len();
    assert!(!monitor.report(before, REFUSED, Instant::now()), "from before the newest verdict");
    tokio::time::sleep(SECOND).await;
    assert!(monitor.is_available());
    assert_eq!(fake.asks().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn thousands_that_wait_make_few_probes() {
    let (monitor, fake) = connected().await;
    fake.set(Behaviour::Refuses);
    meets(&monitor, REFUSED);
    reaches(&monitor, State::Disconnected).await;
    let asked = fake.asks().len();
    let seconds = 20;
    for _ in 0..seconds * 100 {
        for _ in 0..50 {
            monitor.request_probe();
        }
        tokio::time::sleep(10 * MS).await;
    }
    let probes = fake.asks().len() - asked;
    assert!((seconds..=seconds * 2).contains(&probes), "{probes} in {seconds} s");
    let times: Vec<_> = fake.asks()[asked..].iter().map(|(at, _)| *at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 500 * MS), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_twice_at_once() {
    let fake = Fake::new(Behaviour::Hangs);
    let monitor = start(&fake);
    for _ in 0..200 {
        monitor.request_probe();
        tokio::time::sleep(50 * MS).await;
    }
    let asks = fake.asks();
    let overlap =
        asks.windows(2).find(|pair| pair[1].0 - pair[0].0 < pair[0].1.deadline.min(2 * SECOND));
    assert!(asks.len() > 2 && overlap.is_none(), "{overlap:?}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_it_and_nothing_is_available_from_then_on() {
    let (monitor, fake) = connected().await;
    let mut transitions = monitor.transitions();
    monitor.shutdown().await;
    assert!(!monitor.is_available());
    assert_eq!(monitor.status().state, State::Disconnected);
    assert_eq!(*fake.outages.lock().unwrap(), [false], "calls in flight are released");
    let asked = fake.asks().len();
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(fake.asks().len(), asked);
    monitor.shutdown().await;
    monitor.release();
    monitor.force_down("a drill", SECOND);
    assert!(!monitor.wait_available(10 * SECOND).await);
    drop(monitor);
    assert!(timeout(SECOND, transitions.recv()).await.unwrap().is_none(), "the stream ends");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_last_handle() {
    let (monitor, fake) = connected().await;
    let clone = monitor.clone();
    drop(monitor);
    tokio::time::sleep(20 * SECOND).await;
    let asked = fake.asks().len();
    assert!(asked > 2 && clone.is_available());
    drop(clone);
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(fake.asks().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn outside_a_runtime_it_says_so() {
    let outside = std::thread::spawn(|| {
        HealthMonitor::start(Fake::new(Behaviour::Well), &config(), &Metrics::default()).map(drop)
    });
    let error = outside.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Config);
}
