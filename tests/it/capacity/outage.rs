//! Outages: nobody is refused who fits for long, and nothing is ever oversold.

use std::sync::atomic::AtomicBool;

use evenkeel::Source;
use tokio::{task::JoinSet, time::Instant};

use super::{support::RedisServer, *};
use crate::{
    guards::PATIENCE,
    support::{Fault, FaultProxy, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_database_decides_and_says_so() {
    let server = RedisServer::start().await;
    let database = Database::new();
    let a = Instance::at(&server.url(), &database).ready().await;
    let token = a.token("hall", 10).await;
    server.kill();
    a.away().await;
    let began = Instant::now();
    let verdict = a.reserve("hall", 20).await.unwrap();
    assert_eq!((verdict.is_granted(), verdict.source), (true, Source::Database));
    assert!(began.elapsed() < Duration::from_millis(500), "it waits for Redis");
    a.release("hall", &token).await;
    assert_eq!(a.remaining("hall").await, None);
    assert!(a.reserve("hall", 80).await.unwrap().is_granted());
    let refused = a.reserve("hall", 1).await.unwrap();
    assert_eq!((refused.value, refused.source), (FULL, Source::Database));
    // The database is spared here, too.
    let asked = database.asked();
    assert_eq!(a.reserve("hall", 1).await.unwrap().source, Source::Memory);
    assert_eq!(database.asked(), asked);
}

/// The gate is too low after a release that it has missed: nobody is refused by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_an_outage_has_passed_by_is_given_up_before_redis_is_announced() {
    let server = RedisServer::builder().persistent(true).start().await;
    let database = Database::new();
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Instance::at(&proxy.url(), &database).ready().await;
    let token = a.token("hall", 100).await;
    a.token("yard", 1).await;
    for fault in [Fault::Refuse, Fault::BlackHole] {
        proxy.set(fault).await;
        a.away().await;
        a.release("hall", &token).await;
        proxy.set(Fault::Pass).await;
        assert!(a.redis.monitor().wait_available(PATIENCE).await);
        assert_eq!(a.remaining("hall").await, None, "not given up");
        assert_eq!(a.remaining("yard").await, Some(99), "nobody has touched it");
        assert!(a.reserve("hall", 100).await.unwrap().is_granted());
        let rows = database.0.rows.lock().unwrap().clone();
        let (id, _) = rows.iter().find(|(_, row)| row.0 == "hall").unwrap();
        database.0.rows.lock().unwrap().get_mut(id).unwrap().1 = token;
    }
}

/// Too many to be remembered: all gates are given up, also those of the other instances.
#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bound_all_gates_are_given_up_everywhere() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let database = Database::new();
    let few = |builder: CapacityBuilder| builder.with_max_touched(3);
    let a = Instance::at(&server.url(), &database).ready().await;
    let b = Instance::with(&proxy.url(), &database, few).ready().await;
    let mut tokens = Vec::new();
    for n in 0..5 {
        tokens.push(a.token(&n.to_string(), 100).await);
    }
    proxy.set(Fault::BlackHole).await;
    b.away().await;
    for (n, token) in tokens.iter().enumerate() {
        b.release(&n.to_string(), token).await;
    }
    assert_eq!(a.remaining("0").await, Some(0));
    proxy.set(Fault::Pass).await;
    assert!(b.redis.monitor().wait_available(PATIENCE).await);
    for n in 0..5 {
        let event = n.to_string();
        let sold = async || a.reserve(&event, 1).await.unwrap().is_granted();
        assert!(eventually(PATIENCE, sold).await, "{event} stays closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_another_epoch_no_gate_is_known() {
    let server = RedisServer::builder().persistent(true).start().await;
    let database = Database::new();
    let a = Instance::at(&server.url(), &database).ready().await;
    let token = a.token("hall", 100).await;
    let dump = server.save_dump().await;
    a.release("hall", &token).await;
    // Back older: the gate in it has nothing left.
    server.kill();
    a.away().await;
    server.restart_from(&dump).await;
    assert!(a.redis.monitor().wait_available(PATIENCE).await);
    a.token("hall", 100).await;
    // Back empty.
    server.kill();
    a.away().await;
    server.restart_empty().await;
    assert!(a.redis.monitor().wait_available(PATIENCE).await);
    assert_eq!(a.remaining("hall").await, None);
    assert_eq!(a.reserve("hall", 1).await.unwrap().value, FULL);
}

/// Four tasks that reserve and release without a pause, and Redis that goes and comes back. All
/// that the clients were told stands in the database, and the gate has what is left.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_granted_stands_in_the_database_and_the_gate_comes_right() {
    for round in 0..rounds() {
        let server = RedisServer::start().await;
        let database = Database::new();
        database.takes(Duration::from_millis(2));
        let a = Arc::new(Instance::at(&server.url(), &database).ready().await);
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for task in 0..4_u32 {
            let (a, is_over) = (Arc::clone(&a), Arc::clone(&is_over));
            tasks.spawn(async move {
                let (mut granted, mut released) = (0, 0);
                while !is_over.load(Ordering::Relaxed) {
                    let verdict = a.reserve("hall", 1).await.unwrap();
                    if let CapacityVerdict::Granted { token, .. } = verdict.value {
                        granted += 1;
                        if task > 0 || granted > 40 {
                            let told = a.release("hall", &token).await;
                            let is_one = matches!(told, ReleaseVerdict::Released { seats: 1, .. });
                            assert!(is_one, "{told:?}");
                            released += 1;
                        }
                    }
                }
                granted - released
            });
        }
        sleep(Duration::from_millis(300)).await;
        server.kill();
        a.away().await;
        sleep(Duration::from_millis(300)).await;
        server.restart().await;
        assert!(a.redis.monitor().wait_available(PATIENCE).await);
        sleep(Duration::from_millis(300)).await;
        is_over.store(true, Ordering::Relaxed);
        let mut kept = 0;
        while let Some(task) = tasks.join_next().await {
            kept += task.unwrap();
        }
        assert_eq!(database.taken("hall"), kept, "round {round}");
        // What was still to be told of the outage is told, and then the gate refuses nobody who fits.
        let left = u32::try_from(HALL - kept).unwrap();
        let fits = async || a.reserve("hall", left).await.unwrap().is_granted();
        assert!(eventually(PATIENCE, fits).await, "round {round}: {:?}", a.remaining("hall").await);
        assert_eq!(database.taken("hall"), HALL);
    }
}

/// One of two instances alone is cut off: 500 at once for 100 seats, and 100 are sold.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_cut_off_alone_sells_nothing_twice() {
    for round in 0..rounds() {
        let server = RedisServer::start().await;
        let proxy = FaultProxy::in_front_of(&server).await;
        let database = Database::new();
        database.takes(Duration::from_millis(1));
        let a = Arc::new(Instance::at(&server.url(), &database).ready().await);
        let b = Arc::new(Instance::at(&proxy.url(), &database).ready().await);
        let mut tasks = JoinSet::new();
        for n in 0..500 {
            let instance = Arc::clone(if n % 2 == 0 { &a } else { &b });
            tasks.spawn(async move {
                sleep(Duration::from_millis(n / 4)).await;
                instance.reserve("hall", 1).await.unwrap()
            });
        }
        sleep(Duration::from_millis(10)).await;
        proxy.set(Fault::BlackHole).await;
        let mut granted = 0;
        while let Some(verdict) = tasks.join_next().await {
            let verdict = verdict.unwrap();
            granted += usize::from(verdict.is_granted());
            assert!(verdict.is_granted() || verdict.value == FULL, "{verdict:?}");
        }
        assert_eq!((granted, database.taken("hall")), (100, HALL), "round {round}");
    }
}

/// More with `EVENKEEL_TEST_ROUNDS`.
pub(super) fn rounds() -> usize {
    let rounds = std::env::var("EVENKEEL_TEST_ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(3)
}
