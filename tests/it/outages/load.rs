//! Many callers at once: cancelled calls, thousands that wait for Redis to return.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use evenkeel::{
    ErrorKind,
    health::{RequestBudget, State},
};
use redis::cmd;
use tokio::task::JoinSet;

use super::{LONG, PROMISE, SLACK, World, support::eventually};

/// No answer ever reaches somebody else, and no connection is left behind. (`tests/resources.rs`
/// counts descriptors.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_cancelled_calls() {
    const CALLS: usize = 10_000;
    let world = World::up().await;
    let mut fill = redis::pipe();
    for key in 0..CALLS {
        fill.set(format!("key:{key}"), format!("value:{key}")).ignore();
    }
    let _: () = fill.query_async(&mut world.server.connect().await.unwrap()).await.unwrap();
    let (clients, connections) =
        (world.server.connected_clients().await, world.proxy.connections());

    let finished = Arc::new(AtomicUsize::new(0));
    let mut calls = JoinSet::new();
    for key in 0..CALLS {
        let (redis, finished) = (world.redis.clone(), Arc::clone(&finished));
        calls.spawn(async move {
            let get = cmd("GET").arg(format!("key:{key}")).to_owned();
            let patience = Duration::from_micros((key % 40) as u64 * 50);
            let call = async { redis.query::<String>(&get).await };
            if let Ok(Ok(value)) = tokio::time::timeout(patience, call).await {
                assert_eq!(value, format!("value:{key}"), "an answer for somebody else");
                finished.fetch_add(1, Ordering::Relaxed);
            }
        });
        if key % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    let finished = finished.load(Ordering::Relaxed);
    assert!(finished < CALLS, "nothing was cancelled");
    assert!(world.monitor().wait_available(LONG).await);
    for key in (0..CALLS).step_by(97) {
        let get = cmd("GET").arg(format!("key:{key}")).to_owned();
        assert_eq!(world.redis.query::<String>(&get).await.unwrap(), format!("value:{key}"));
    }
    let back = eventually(LONG, || async {
        world.server.connected_clients().await <= clients
            && world.proxy.connections() <= connections
    });
    assert!(back.await, "{} connections, not {connections}", world.proxy.connections());
}

/// However many wait: few probes, and all are served soon after Redis is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_wait_for_redis_to_return() {
    const WAITING: usize = 3_000;
    let world = World::up().await;
    let away = Duration::from_secs(3);
    world.server.kill();
    world.reaches(State::Disconnected).await;
    let (probes, began) = (world.probes().await, Instant::now());
    let longest_refusal = Arc::new(AtomicUsize::new(0));
    let mut waiting = JoinSet::new();
    for _ in 0..WAITING {
        let (redis, longest) = (world.redis.clone(), Arc::clone(&longest_refusal));
        waiting.spawn(async move {
            loop {
                let asked = Instant::now();
                let get = cmd("GET").arg("key").to_owned();
                let answer = RequestBudget::scope(redis.query::<Option<u8>>(&get)).await;
                if answer.is_ok() {
                    return Instant::now();
                }
                longest.fetch_max(asked.elapsed().as_micros() as usize, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    tokio::time::sleep(away).await;
    let asked = world.probes().await - probes;
    let bound = began.elapsed().as_secs_f64() / 0.5 + 1.0;
    assert!(asked >= 3.0 && asked <= bound, "{asked} probes, at most {bound}");
    world.server.restart().await;
    let returned = Instant::now();
    let mut last = returned;
    while let Some(served) = waiting.join_next().await {
        last = last.max(served.unwrap());
    }
    let took = last - returned;
    // They ask every 100 ms.
    assert!(took < PROMISE + Duration::from_millis(100) + SLACK, "the last after {took:?}");
    let pings = world.server.commands_processed("ping").await;
    // A few for the return; where a busy machine lets commands time out, a few to verify that. Not
    // one for each who waits.
    assert!(pings <= WAITING as u64 / 100, "{pings} PINGs for the return");
    let longest = Duration::from_micros(longest_refusal.load(Ordering::Relaxed) as u64);
    assert!(longest < SLACK, "a refusal took {longest:?}");
    assert_eq!(world.monitor().status().outages, 1);
}

/// A request waits once, whatever it asks for, and however many commands it sends.
#[tokio::test]
async fn one_wait_for_a_whole_request() {
    let world = World::up().await;
    world.server.freeze();
    let began = Instant::now();
    RequestBudget::scope(async {
        for _ in 0..10 {
            let get = cmd("GET").arg("key").to_owned();
            assert!(world.redis.query::<Option<u8>>(&get).await.unwrap_err().is_unavailable());
        }
    })
    .await;
    let took = began.elapsed();
    assert!(took >= world.op_timeout() && took < world.op_timeout() + SLACK, "{took:?}");
}

/// It has waited once: also when Redis is readable again by the time of its next command.
#[tokio::test]
async fn no_second_wait_for_the_same_request() {
    let world = World::up().await;
    world.server.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]).await.unwrap();
    let get = cmd("GET").arg("key").to_owned();
    RequestBudget::scope(async {
        let written = world.redis.query::<()>(cmd("SET").arg("key").arg(1)).await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::Timeout);
        world.becomes("readable again", |monitor| monitor.can_read()).await;
        let read = world.redis.query::<Option<u8>>(&get).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Unavailable);
    })
    .await;
    RequestBudget::scope(world.redis.query::<Option<u8>>(&get)).await.expect("another request");
}

/// A caller that waits for less than the settings say gets no answer, and takes Redis away from
/// nobody.
#[tokio::test]
async fn impatience_is_no_evidence() {
    let world = World::up().await;
    world.proxy.set(super::support::Fault::Delay(Duration::from_millis(30))).await;
    let mut connection = world.redis.connection().with_deadline(Duration::from_millis(5));
    for _ in 0..5 {
        let get = cmd("GET").arg("key").to_owned();
        let error = connection.query::<Option<u8>>(&get).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(world.monitor().is_available());
    }
    assert_eq!(world.monitor().status().last_fault, None);
}

/// Calls that wait for an answer on a connection that is given up return then, not at their own
/// deadline.
#[tokio::test]
async fn calls_in_flight_are_released() {
    let world = World::up().await;
    let patient = |deadline| {
        let mut connection = world.redis.connection().with_deadline(deadline);
        async move { connection.query::<Option<u8>>(cmd("GET").arg("key")).await }
    };
    world.server.freeze();
    let began = Instant::now();
    let (patient, _) =
        tokio::join!(patient(Duration::from_secs(60)), patient(Duration::from_millis(100)));
    assert!(patient.unwrap_err().is_unavailable());
    // Verified within the probe timeout, and known then.
    let verified = super::world::health().probe_timeout();
    assert!(began.elapsed() < world.op_timeout() + verified + SLACK, "{:?}", began.elapsed());
}
