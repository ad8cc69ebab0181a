//! While Redis serves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use evenkeel::store::{concurrency::InFlight, rate::DecisionSource};
use futures_util::future::join_all;
use tokio::time::sleep;

use super::{
    DAY, Instance, PATIENCE,
    support::{Fault, FaultProxy, RedisServer, eventually},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_share_a_limit_and_everybody_is_served() {
    let server = RedisServer::start().await;
    let limit = InFlight::at_most(10).with_lease(DAY);
    let two = Instance::two([&server.url(), &server.url()], &limit).await.map(Arc::new);
    let (now, most, served) =
        (AtomicUsize::new(0), AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let count = Arc::new((now, most));
    let requests = (0..200).map(|n| {
        let (one, count, served) = (two[n % 2].clone(), count.clone(), served.clone());
        tokio::spawn(async move {
            let permit = one.admitted("a").await;
            assert_eq!(permit.occupancy().source(), DecisionSource::Redis);
            let now = count.0.fetch_add(1, Ordering::SeqCst) + 1;
            count.1.fetch_max(now, Ordering::SeqCst);
            sleep(Duration::from_millis(5)).await;
            count.0.fetch_sub(1, Ordering::SeqCst);
            served.fetch_add(1, Ordering::SeqCst);
        })
    });
    for request in join_all(requests).await {
        request.unwrap();
    }
    let most = count.1.load(Ordering::SeqCst);
    assert!((5..=10).contains(&most), "{most} at a time");
    assert_eq!(served.load(Ordering::SeqCst), 200);
}

#[tokio::test]
async fn what_a_dead_process_held_comes_back_by_itself() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let limit = InFlight::at_most(3).with_lease(3 * SECOND);
    let dead = Instance::up(&proxy.url(), limit.clone()).await;
    let alive = Instance::up(&server.url(), limit).await;
    let held = dead.exhaust("a").await;
    assert_eq!(held.len(), 3);
    proxy.set(Fault::BlackHole).await;
    // As good as killed: it neither renews its leases nor gives them back.
    drop((held, dead));
    assert!(alive.acquire("a").await.is_err());
    let _permit = alive.admitted("a").await;
}

#[tokio::test]
async fn a_request_may_last_longer_than_its_lease() {
    let server = RedisServer::start().await;
    let limit = InFlight::at_most(1).with_lease(2 * SECOND);
    let [one, other] = Instance::two([&server.url(), &server.url()], &limit).await;
    let permit = one.acquire("a").await.unwrap();
    for _ in 0..10 {
        sleep(SECOND / 2).await;
        assert!(other.acquire("a").await.is_err());
    }
    drop(permit);
    let _permit = other.admitted("a").await;
}

#[tokio::test]
async fn nothing_stays_behind_in_redis() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url(), InFlight::at_most(2).with_name("x")).await;
    let held = one.exhaust("a").await;
    let keys =
        async || -> Vec<String> { server.query(&["KEYS", "*:concurrency:*"]).await.unwrap() };
    let [key] = keys().await.try_into().unwrap();
    assert!(key.ends_with(":concurrency:x:{a}"), "{key}");
    let expires: i64 = server.query(&["PTTL", &key]).await.unwrap();
    assert!((1..=30_000).contains(&expires), "{expires}");
    drop(held);
    assert!(eventually(PATIENCE, || async { keys().await.is_empty() }).await);
}

#[tokio::test]
async fn a_value_that_is_not_ours_is_replaced() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url(), InFlight::at_most(2)).await;
    drop(one.acquire("a").await);
    let key = format!("{}:concurrency:concurrency:{{a}}", one.redis.namespace());
    server.cli(&["SET", &key, "nonsense"]).await.unwrap();
    let held = one.exhaust("a").await;
    assert_eq!(held.len(), 2);
    assert!(held.iter().all(|permit| permit.occupancy().source() == DecisionSource::Redis));
}

#[tokio::test]
async fn leases_from_before_a_step_of_the_clock_block_nobody() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url(), InFlight::at_most(1)).await;
    let key = format!("{}:concurrency:concurrency:{{a}}", one.redis.namespace());
    server.cli(&["ZADD", &key, "99999999999999", "somebody"]).await.unwrap();
    assert!(one.acquire("a").await.is_ok());
}

#[tokio::test]
async fn what_redis_admitted_after_the_client_left_is_given_back() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let limit = InFlight::at_most(1).with_lease(DAY);
    let one = Instance::up(&proxy.url(), limit).await;
    drop(one.acquire("a").await);
    let key = format!("{}:concurrency:concurrency:{{a}}", one.redis.namespace());
    let held = async || server.query::<u32>(&["ZCARD", &key]).await.unwrap();
    assert!(eventually(PATIENCE, || async { held().await == 0 }).await);
    proxy.set(Fault::Delay(Duration::from_millis(900))).await;
    {
        let left = one.acquire("a");
        tokio::pin!(left);
        let admitted = eventually(PATIENCE, || async { held().await == 1 });
        tokio::select! {
            biased;
            admitted = admitted => assert!(admitted),
            answer = &mut left => panic!("{answer:?} before it was dropped"),
        }
    }
    proxy.set(Fault::Pass).await;
    // The lease is a day long.
    let _permit = one.admitted("a").await;
}
