//! The steps between "it answers again" and "it is available again".

use super::*;
use crate::{ErrorKind, health::Registration};

type Log = Arc<Mutex<Vec<&'static str>>>;

fn note(monitor: &HealthMonitor, log: &Log, stage: Stage, name: &'static str) -> Registration {
    let log = Arc::clone(log);
    monitor.on_recovery(stage, name, move |_| {
        log.lock().unwrap().push(name);
        async { Ok(()) }
    })
}

async fn goes_and_comes_back(monitor: &HealthMonitor, fake: &Fake) {
    fake.set(Behaviour::Refuses);
    meets(monitor, REFUSED);
    reaches(monitor, State::Disconnected).await;
    fake.set(Behaviour::Well);
    assert!(monitor.wait_available(60 * SECOND).await, "{monitor:?}");
}

#[tokio::test(start_paused = true)]
async fn steps_run_in_the_order_of_their_stages_and_before_the_announcement() {
    let (monitor, fake) = connected().await;
    let log = Log::default();
    let _steps: Vec<_> = [
        (Stage::Caches, "caches"),
        (Stage::Guards, "guards"),
        (Stage::Counters, "counters"),
        (Stage::Epoch, "epoch"),
        (Stage::Guards, "more guards"),
        (Stage::Reconcile, "reconcile"),
    ]
    .map(|(stage, name)| note(&monitor, &log, stage, name))
    .into();
    let (weak, seen) = (monitor.downgrade(), Arc::new(Mutex::new(None)));
    let observed = Arc::clone(&seen);
    let _observer = monitor.on_recovery(Stage::Caches, "observer", move |recovery| {
        let state = weak.upgrade().map(|monitor| (monitor.state(), monitor.is_available()));
        *observed.lock().unwrap() = Some((state, recovery.is_first(), recovery.outage()));
        async { Ok(()) }
    });
    let gone = note(&monitor, &log, Stage::Epoch, "taken back");
    drop(gone);
    goes_and_comes_back(&monitor, &fake).await;
    assert_eq!(
        *log.lock().unwrap(),
        ["epoch", "guards", "more guards", "counters", "reconcile", "caches"]
    );
    let (state, first, outage) = seen.lock().unwrap().unwrap();
    assert_eq!((state, first), (Some((State::Recovering, false)), false));
    assert!(outage <= 3 * SECOND, "{outage:?}");
}

#[tokio::test(start_paused = true)]
async fn a_step_with_an_error_of_its_own_holds_up_nobody() {
    let (monitor, fake) = connected().await;
    let log = Log::default();
    let _mistake = monitor.on_recovery(Stage::Epoch, "mistake", |_| async {
        Err(Error::new(ErrorKind::Command, "not what was expected"))
    });
    let _panics = monitor
        .on_recovery(Stage::Epoch, "panics", |_| async { panic!("a step has a mistake in it") });
    let _after = note(&monitor, &log, Stage::Caches, "after");
    goes_and_comes_back(&monitor, &fake).await;
    assert_eq!(*log.lock().unwrap(), ["after"]);
}

/// A step that panics before it has a future to give.
#[tokio::test(start_paused = true)]
async fn a_step_that_panics_at_once_holds_up_nobody() {
    fn mistake() -> std::future::Ready<Result<(), Error>> {
        panic!("a step has a mistake in it")
    }
    let (monitor, fake) = connected().await;
    let _panics = monitor.on_recovery(Stage::Epoch, "panics", |_| mistake());
    goes_and_comes_back(&monitor, &fake).await;
    assert!(monitor.is_available());
}

#[tokio::test(start_paused = true)]
async fn a_step_that_meets_a_fault_runs_again_with_all_others() {
    let (monitor, fake) = connected().await;
    let (log, unlucky) = (Log::default(), Arc::new(Mutex::new(3)));
    let _before = note(&monitor, &log, Stage::Epoch, "before");
    let _unlucky = monitor.on_recovery(Stage::Guards, "unlucky", move |_| {
        let mut left = unlucky.lock().unwrap();
        *left -= 1;
        let error = Error::new(ErrorKind::Connection, "lost").with_fault(REFUSED);
        let result = if *left > 0 { Err(error) } else { Ok(()) };
        async { result }
    });
    let _after = note(&monitor, &log, Stage::Caches, "after");
    goes_and_comes_back(&monitor, &fake).await;
    assert_eq!(*log.lock().unwrap(), ["before", "before", "before", "after"]);
    assert_eq!(monitor.status().outages, 1);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_hangs_is_cut_off_and_tried_again() {
    let (monitor, fake) = connected().await;
    let runs = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&runs);
    let _hangs = monitor.on_recovery(Stage::Guards, "hangs once", move |_| {
        let mut runs = counted.lock().unwrap();
        *runs += 1;
        let first = *runs == 1;
        async move { if first { pending().await } else { Ok(()) } }
    });
    let began = Instant::now();
    goes_and_comes_back(&monitor, &fake).await;
    assert_eq!(*runs.lock().unwrap(), 2);
    assert!(began.elapsed() >= config().step_timeout(), "cut off after its time, not before");
    let (fault, _) = monitor.status().last_fault.unwrap();
    assert_eq!(fault.to_string(), "recovery: timeout");
}

#[tokio::test(start_paused = true)]
async fn writes_gone_and_back_run_the_steps_and_reads_go_on() {
    let (monitor, fake) = connected().await;
    let log = Log::default();
    let _step = note(&monitor, &log, Stage::Guards, "guards");
    let mut transitions = monitor.transitions();
    fake.set(Behaviour::WritesGone);
    assert!(meets(&monitor, OOM));
    assert!(monitor.can_read() && !monitor.can_write());
    for _ in 0..100 {
        tokio::time::sleep(100 * MS).await;
        assert!(monitor.can_read() && !monitor.can_write());
    }
    assert!(log.lock().unwrap().is_empty());
    fake.set(Behaviour::Well);
    assert!(monitor.wait_available(2 * SECOND).await);
    assert_eq!(*log.lock().unwrap(), ["guards"]);
    let writes = [transitions.recv().await.unwrap(), transitions.recv().await.unwrap()];
    assert_eq!(
        writes.map(|t| (t.status.state, t.status.writes)),
        [(State::Connected, false), (State::Connected, true)]
    );
    assert_eq!(monitor.status().outages, 0);
}
