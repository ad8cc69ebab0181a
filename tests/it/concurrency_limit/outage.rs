//! While Redis is away, and afterwards.

use std::time::{Duration, Instant as Clock};

use evenkeel::store::{concurrency::InFlight, rate::DecisionSource};
use futures_util::future::join_all;

use super::{
    DAY, Instance,
    support::{Fault, FaultProxy, RedisServer},
};

fn limit(most: u32) -> InFlight {
    InFlight::at_most(most).with_lease(DAY)
}

#[tokio::test]
async fn hung_in_the_middle_of_a_load_everybody_keeps_to_his_share() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let two = Instance::two([&proxy.url(), &proxy.url()], &limit(10)).await;
    let before = two[0].acquire("a").await.unwrap();
    proxy.set(Fault::BlackHole).await;
    let asked = Clock::now();
    for (one, room) in two.iter().zip([4, 5]) {
        let asking = (0..50).map(|_| one.acquire("a"));
        let answers = join_all(asking).await;
        let degraded = answers.iter().all(|answer| match answer {
            Ok(permit) => permit.occupancy().is_degraded(),
            Err(busy) => busy.occupancy().is_degraded(),
        });
        assert!(degraded);
        let admitted = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(admitted, room, "the share is 5");
        assert_eq!(one.limiter.in_flight(), 5);
    }
    assert!(asked.elapsed() < Duration::from_millis(3_600), "more than a deadline of 1 s each");
    drop(before);
}

#[tokio::test]
async fn counted_on_from_what_is_in_flight_here() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url(), limit(4)).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(one.acquire("a").await.unwrap());
    }
    server.kill();
    one.is_down().await;
    let fourth = one.acquire("a").await.unwrap();
    let occupancy = fourth.occupancy();
    assert_eq!((occupancy.in_flight(), occupancy.source()), (4, DecisionSource::Memory));
    assert!(one.acquire("a").await.is_err());
    held.pop();
    assert!(one.acquire("a").await.is_ok());
}

#[tokio::test]
async fn a_limit_below_the_number_of_instances_is_one_for_each() {
    let server = RedisServer::start().await;
    let two = Instance::two([&server.url(), &server.url()], &limit(1)).await;
    server.kill();
    for one in &two {
        one.is_down().await;
        assert_eq!(one.exhaust("a").await.len(), 1);
    }
}

#[tokio::test]
async fn what_is_in_flight_counts_again_when_redis_comes_back_empty() {
    let server = RedisServer::start().await;
    let [one, other] = Instance::two([&server.url(), &server.url()], &limit(4)).await;
    let mut held = vec![one.acquire("a").await.unwrap()];
    server.kill();
    one.is_down().await;
    held.extend(one.exhaust("a").await);
    assert_eq!(held.len(), 2, "the share");
    server.restart_empty().await;
    one.is_up().await;
    other.is_up().await;
    let more = other.exhaust("a").await;
    assert!(more.iter().all(|permit| permit.occupancy().source() == DecisionSource::Redis));
    assert_eq!(more.len(), 2);
}

#[tokio::test]
async fn what_ended_in_the_outage_is_taken_out_after_it() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let one = Instance::up(&proxy.url(), limit(2)).await;
    let other = Instance::up(&server.url(), limit(2)).await;
    let held = one.exhaust("a").await;
    proxy.set(Fault::Refuse).await;
    one.is_down().await;
    drop(held);
    assert!(other.acquire("a").await.is_err(), "Redis does not know yet");
    proxy.set(Fault::Pass).await;
    one.is_up().await;
    // The leases are a day long: they were given back.
    let _permits = [other.admitted("a").await, other.admitted("a").await];
}

#[tokio::test]
async fn an_error_about_the_command_is_no_free_pass() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let one = Instance::up(&proxy.url(), limit(3)).await;
    let error = "ERR something odd about scripts".to_owned();
    proxy.set(Fault::ErrorReplyTo { command: "EVALSHA".into(), error }).await;
    assert_eq!(one.exhaust("a").await.len(), 3);
    assert!(one.redis.monitor().is_available());
}
