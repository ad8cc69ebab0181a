//! While Redis is away.

use std::time::{Duration, Instant};

use evenkeel::store::rate::{DecisionSource, Quota, RateLimiter, RatePolicy, Retry};

use super::{
    Instance, all_down, exhaust_all, slow,
    support::{Fault, FaultProxy, RedisServer},
    timed,
};

#[tokio::test]
async fn who_was_refused_stays_refused_until_the_true_reset() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url()).await;
    let policy = RatePolicy::from(Quota::per_second(1).with_burst(2));
    one.exhaust(&policy, "a").await;
    let began = Instant::now();
    let Some(Retry::After(wait)) = one.ask(&policy, "a").await.retry() else { panic!("admitted") };
    server.kill();
    one.is_down().await;
    let admitted = loop {
        let asked = Instant::now();
        let verdict = one.ask(&policy, "a").await;
        if verdict.allowed() {
            assert_eq!(verdict.source(), DecisionSource::Memory);
            // Counted from before the refusal was asked for, so this is early at most by that trip.
            break asked.elapsed() + (asked - began);
        }
    };
    assert!(admitted >= wait, "{admitted:?} is before {wait:?}");
    assert!(admitted < wait + Duration::from_millis(500), "{admitted:?} is long after {wait:?}");
}

#[tokio::test]
async fn four_instances_admit_no_more_than_the_limit() {
    let server = RedisServer::start().await;
    let fleet = Instance::fleet(&server.url(), 4).await;
    let policy = slow(100);
    for n in 0..20 {
        assert!(fleet[n % 4].ask(&policy, "a").await.allowed());
    }
    server.kill();
    all_down(&fleet).await;
    let admitted = 20 + exhaust_all(&fleet, &policy, "a").await;
    assert!((90..=104).contains(&admitted), "{admitted}");
    let unseen = exhaust_all(&fleet, &policy, "b").await;
    assert!((96..=104).contains(&unseen), "{unseen}");
    let hits = fleet[0].metric("redis_fallback_hits_total", &["\"rate_limit\""]).await;
    assert!(hits.is_some_and(|hits| hits > 40), "{hits:?}");
}

#[tokio::test]
async fn a_limit_below_the_number_of_instances_is_one_for_each() {
    let server = RedisServer::start().await;
    let fleet = Instance::fleet(&server.url(), 4).await;
    server.kill();
    all_down(&fleet).await;
    assert_eq!(exhaust_all(&fleet, &slow(2), "a").await, 4);
}

#[tokio::test]
async fn a_fixed_share() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url()).await;
    let five = std::num::NonZeroU32::new(5).unwrap();
    let fixed = RateLimiter::builder(&one.redis).with_instances(five).build();
    let expecting = RateLimiter::builder(&one.redis).with_expected_instances(five).build();
    server.kill();
    one.is_down().await;
    let one = Instance { limiter: fixed, ..one };
    assert_eq!(one.exhaust(&slow(100), "a").await, 20);
    let one = Instance { limiter: expecting, ..one };
    assert!([20, 100].contains(&one.exhaust(&slow(100), "a").await));
}

#[tokio::test]
async fn without_redis_from_the_start() {
    let server = RedisServer::start().await;
    let url = server.url();
    server.kill();
    let one = Instance::new(&url);
    let (verdict, took) = timed(one.ask(&slow(1), "a")).await;
    assert_eq!((verdict.allowed(), verdict.source()), (true, DecisionSource::Memory));
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(!one.ask(&slow(1), "a").await.allowed());
}

#[tokio::test]
async fn the_first_to_find_out_waits_for_one_deadline() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let one = Instance::up(&proxy.url()).await;
    let policy = slow(100);
    assert_eq!(one.ask(&policy, "a").await.source(), DecisionSource::Redis);
    proxy.set(Fault::BlackHole).await;
    let (verdict, took) = timed(one.ask(&policy, "a")).await;
    assert_eq!(verdict.source(), DecisionSource::Memory);
    assert_eq!(verdict.remaining(), 98, "from where Redis left off");
    assert!(took < Duration::from_millis(1_900), "{took:?} is more than one deadline of 1 s");
    let (_, took) = timed(one.exhaust(&policy, "a")).await;
    assert!(took < Duration::from_millis(900), "{took:?} for 98 decisions without I/O");
}

#[tokio::test]
async fn redis_that_takes_no_writes_is_done_without() {
    let server = RedisServer::builder().arg("maxmemory-policy", "noeviction").start().await;
    let one = Instance::up(&server.url()).await;
    let policy = slow(10);
    assert_eq!(one.ask(&policy, "a").await.source(), DecisionSource::Redis);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let verdict = one.ask(&policy, "a").await;
    assert_eq!((verdict.source(), verdict.remaining()), (DecisionSource::Memory, 8));
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    one.is_up().await;
    let charged =
        super::eventually(super::PATIENCE, || async { one.replayed("applied").await == 1 }).await;
    assert!(charged);
    assert_eq!(Instance::up(&server.url()).await.left(&policy, "a").await, 8);
}

#[tokio::test]
async fn an_error_about_the_command_is_no_free_pass() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let one = Instance::up(&proxy.url()).await;
    let error = "ERR something odd about scripts".to_owned();
    proxy.set(Fault::ErrorReplyTo { command: "EVALSHA".into(), error }).await;
    assert_eq!(one.exhaust(&slow(7), "a").await, 7);
    assert!(one.redis.monitor().is_available());
}
