//! Many decisions for one trip.

use std::time::Duration;

use evenkeel::store::rate::{DecisionSource, Quota, RateLimiter, RatePolicy, Subject};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::{
    Instance, PATIENCE, slow,
    support::{Fault, FaultProxy, RedisServer, eventually},
};

async fn leasing(url: &str, cells: u32) -> Instance {
    let one = Instance::up(url).await;
    let limiter = RateLimiter::builder(&one.redis).with_leases(cells.try_into().unwrap()).build();
    Instance { limiter, ..one }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_never_pass_the_limit_and_use_all_of_it() {
    let server = RedisServer::start().await;
    let fleet = [leasing(&server.url(), 10).await, leasing(&server.url(), 10).await];
    let policy = slow(100);
    let mut admitted = 0;
    for _ in 0..3 {
        let verdicts = join_all((0..1_000).map(|n| fleet[n % 2].ask(&policy, "a"))).await;
        admitted += verdicts.iter().filter(|verdict| verdict.allowed()).count();
        assert!(admitted <= 100, "{admitted}");
        // What is not spent comes back, but for what wears off meanwhile.
        sleep(Duration::from_millis(1_000)).await;
    }
    assert!(admitted >= 98, "{admitted}");
}

#[tokio::test]
async fn one_trip_for_many() {
    let server = RedisServer::start().await;
    let one = leasing(&server.url(), 100).await;
    let policy = RatePolicy::from(Quota::per_second(1_000).with_burst(10_000));
    let before = server.commands_processed("evalsha").await;
    for n in 0..2_000 {
        let verdict = one.ask(&policy, "a").await;
        assert_eq!((verdict.allowed(), verdict.source()), (true, DecisionSource::Redis));
        assert!(verdict.remaining() <= 10_000 - n.min(1), "{verdict:?}");
    }
    let trips = server.commands_processed("evalsha").await - before;
    assert!(trips < 400, "{trips} trips");
}

#[tokio::test]
async fn what_is_not_spent_comes_back() {
    let server = RedisServer::start().await;
    let one = leasing(&server.url(), 20).await;
    let observer = Instance::up(&server.url()).await;
    let policy = slow(100);
    assert!(one.ask(&policy, "a").await.allowed());
    assert_eq!(observer.left(&policy, "a").await, 80);
    let back = eventually(PATIENCE, || async { observer.left(&policy, "a").await == 99 }).await;
    assert!(back, "{}", observer.left(&policy, "a").await);
    let known = eventually(PATIENCE, || async { one.left(&policy, "a").await == 99 });
    assert!(known.await, "{}", one.left(&policy, "a").await);
}

#[tokio::test]
async fn a_lease_is_good_in_an_outage() {
    let server = RedisServer::start().await;
    let one = leasing(&server.url(), 20).await;
    let policy = slow(40);
    assert!(one.ask(&policy, "a").await.allowed());
    server.kill();
    one.is_down().await;
    // 19 of the lease but for what wore off, and the 20 that Redis had left.
    let admitted = one.exhaust(&policy, "a").await;
    assert!((20..=39).contains(&admitted), "{admitted}");
    assert!(!one.ask(&policy, "a").await.allowed());
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_the_turn_to_the_next() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let one = leasing(&proxy.url(), 20).await;
    let policy = slow(1_000);
    proxy.set(Fault::Delay(Duration::from_millis(300))).await;
    let who = Subject::text("a");
    let first = one.limiter.decide(&policy, &who, 1);
    assert!(timeout(Duration::from_millis(50), first).await.is_err());
    let verdicts = join_all((0..10).map(|_| one.ask(&policy, "a"))).await;
    assert!(verdicts.iter().all(|verdict| verdict.source() == DecisionSource::Redis));
}
