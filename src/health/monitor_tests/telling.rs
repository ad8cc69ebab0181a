//! The state word, the watch and the stream of transitions tell the same.

use super::*;

#[tokio::test(start_paused = true)]
async fn state_watch_and_stream_agree() {
    let fake = Fake::new(Behaviour::Well);
    let monitor = start(&fake);
    let mut transitions = monitor.transitions();
    for behaviour in [Behaviour::Well, Behaviour::Refuses, Behaviour::Well, Behaviour::WritesGone] {
        fake.set(behaviour);
        match behaviour {
            Behaviour::Refuses => drop(meets(&monitor, REFUSED)),
            Behaviour::WritesGone => drop(meets(&monitor, OOM)),
            _ => {}
        }
        tokio::time::sleep(60 * SECOND).await;
        let (status, watched) = (monitor.status(), *monitor.watch().borrow());
        assert_eq!(status, watched);
        assert_eq!(status.is_available(), monitor.is_available());
        assert_eq!((status.reads, status.writes), (monitor.can_read(), monitor.can_write()));
        assert_eq!(status.state, monitor.state());
    }
    monitor.shutdown().await;
    drop(monitor);
    let mut told = Vec::new();
    while let Some(transition) = transitions.recv().await {
        told.push(transition);
    }
    let numbers: Vec<_> = told.iter().map(|t| t.sequence).collect();
    assert_eq!(numbers, (1..=told.len() as u64).collect::<Vec<_>>());
    let states: Vec<_> = told.iter().map(|t| (t.from, t.status.state, t.status.writes)).collect();
    use State::{Connected, Connecting, Disconnected, Recovering};
    assert_eq!(
        states,
        [
            (Connecting, Connected, true),
            (Connected, Disconnected, false),
            (Disconnected, Recovering, false),
            (Recovering, Connected, true),
            (Connected, Connected, false),
        ]
    );
    assert_eq!(told[1].cause, Some(REFUSED));
    assert_eq!(told[4].cause, Some(OOM));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_it_ends_with_it_or_with_the_time() {
    let fake = Fake::new(Behaviour::Refuses);
    let monitor = start(&fake);
    let began = Instant::now();
    assert!(!monitor.wait_available(3 * SECOND).await);
    assert_eq!(began.elapsed().as_secs(), 3);
    let waiting = tokio::spawn({
        let monitor = monitor.clone();
        async move { monitor.wait_available(60 * SECOND).await }
    });
    tokio::time::sleep(SECOND).await;
    fake.set(Behaviour::Well);
    assert!(waiting.await.unwrap());
    assert!(monitor.wait_available(Duration::ZERO).await, "at once");
}

/// The task cannot confirm what it said: nobody is to believe it for ever.
#[tokio::test(start_paused = true)]
async fn a_stale_verdict_reads_as_not_available() {
    let (monitor, _fake) = connected().await;
    monitor.shared.status.send_modify(|status| {
        status.verified = Some(Instant::now());
    });
    assert!(monitor.status().reads);
    monitor.shared.status.send_modify(|status| {
        status.verified = status.verified.map(|at| at - config().stale_after() - SECOND);
    });
    let status = monitor.status();
    assert!(!status.reads && !status.writes && !status.is_available());
}

#[tokio::test(start_paused = true)]
async fn taken_away_and_given_back_by_hand() {
    let (monitor, fake) = connected().await;
    let mut transitions = monitor.transitions();
    monitor.force_down("a drill", 30 * SECOND);
    assert!(!monitor.is_available() && monitor.is_forced());
    let asked = fake.asks().len();
    for _ in 0..100 {
        monitor.request_probe();
        tokio::time::sleep(100 * MS).await;
    }
    assert!(monitor.status().forced && !monitor.is_available());
    assert_eq!(fake.asks().len(), asked, "nobody is asked meanwhile");
    let told = transitions.recv().await.unwrap();
    assert_eq!((told.status.state, told.status.forced), (State::Disconnected, true));
    monitor.release();
    assert!(monitor.wait_available(SECOND).await, "{monitor:?}");
    assert!(!monitor.is_forced());

    monitor.force_down("another", 5 * SECOND);
    tokio::time::sleep(4 * SECOND).await;
    assert!(monitor.is_forced());
    assert!(monitor.wait_available(2 * SECOND).await, "it ends by itself: {monitor:?}");
}

/// More orders than anybody would give before the task comes to read the first.
#[tokio::test(start_paused = true)]
async fn no_order_is_lost() {
    let (monitor, _fake) = connected().await;
    for _ in 0..500 {
        monitor.force_down("a drill", 5 * SECOND);
    }
    tokio::time::sleep(SECOND).await;
    assert!(monitor.is_forced());
    assert!(monitor.wait_available(10 * SECOND).await, "{monitor:?}");
}

#[tokio::test(start_paused = true)]
async fn clients_are_told_to_come_back_when_the_next_attempt_is_due() {
    let (monitor, fake) = connected().await;
    fake.set(Behaviour::Refuses);
    meets(&monitor, REFUSED);
    tokio::time::sleep(120 * SECOND).await;
    let due = monitor.status().next_attempt.saturating_duration_since(Instant::now()).max(SECOND);
    let waits: Vec<_> = (0..200).map(|_| monitor.retry_after()).collect();
    let spread = due.mul_f64(0.2) + SECOND;
    assert!(waits.iter().all(|wait| *wait >= due && *wait <= due + spread), "{due:?} {waits:?}");
    let (min, max) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*max - *min > spread / 2, "not all at once: {min:?} to {max:?}");
}

#[cfg(feature = "prometheus")]
#[tokio::test(start_paused = true)]
async fn an_outage_under_way_shows_in_the_seconds_and_in_its_beginning() {
    const DEGRADED: &str = "redis_degraded_seconds_total";
    const START: &str = "redis_outage_start_timestamp_seconds";
    let fake = Fake::new(Behaviour::Well);
    let metrics = Metrics::prometheus("shop", "one");
    let monitor = HealthMonitor::start(fake.clone(), &config(), &metrics).unwrap();
    let value = |name: &str| -> f64 {
        let text = metrics.render();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| {
            panic!("no {name} in\n{text}");
        });
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert!(monitor.wait_available(SECOND).await);
    assert_eq!((value(DEGRADED), value(START)), (0.0, 0.0));
    assert!(metrics.render().contains("# TYPE redis_degraded_seconds_total counter"));

    fake.set(Behaviour::Refuses);
    let unix = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let before = unix();
    meets(&monitor, REFUSED);
    reaches(&monitor, State::Disconnected).await;
    let began = value(START);
    assert!(before <= began + 1.0 && began <= unix(), "{before} {began}");
    let mut last = value(DEGRADED);
    for _ in 0..5 {
        tokio::time::sleep(10 * SECOND).await;
        let now = value(DEGRADED);
        assert!((now - last - 10.0).abs() < 0.01, "{last} {now}");
        assert_eq!(value(START).to_bits(), began.to_bits(), "one outage has one beginning");
        last = now;
    }

    fake.set(Behaviour::Well);
    assert!(monitor.wait_available(60 * SECOND).await);
    let after = value(DEGRADED);
    assert!(last <= after, "{last} {after}");
    assert_eq!(value(START), 0.0);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(value(DEGRADED).to_bits(), after.to_bits(), "peace adds nothing");
}
