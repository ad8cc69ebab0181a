//! When Redis is back.

use std::time::{Duration, Instant};

use evenkeel::store::rate::{DecisionSource, Quota, RatePolicy, Subject};
use tokio::time::sleep;

use super::{
    Instance, PATIENCE, all_down, all_up, exhaust_all, slow,
    support::{Fault, FaultProxy, RedisServer, eventually},
};

#[tokio::test]
async fn what_was_admitted_is_owed() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let fleet = Instance::fleet(&proxy.url(), 4).await;
    let policy = slow(100);
    proxy.set(Fault::Refuse).await;
    all_down(&fleet).await;
    for one in &fleet {
        for _ in 0..10 {
            assert!(one.ask(&policy, "a").await.allowed());
        }
    }
    proxy.set(Fault::Pass).await;
    all_up(&fleet).await;
    let observer = Instance::up(&server.url()).await;
    assert_eq!(observer.left(&policy, "a").await, 60);
    for one in &fleet {
        assert_eq!((one.replayed("applied").await, one.replayed("failed").await), (1, 0));
    }
    assert_eq!(exhaust_all(&fleet, &policy, "a").await, 60);
}

#[tokio::test]
async fn a_limit_outlives_a_redis_that_comes_back_empty() {
    let server = RedisServer::start().await;
    let fleet = Instance::fleet(&server.url(), 2).await;
    let policy = slow(100);
    assert_eq!(fleet[0].exhaust(&policy, "spent").await, 100);
    for _ in 0..30 {
        fleet[0].ask(&policy, "a").await;
    }
    server.kill();
    all_down(&fleet).await;
    for one in &fleet {
        for _ in 0..10 {
            assert!(one.ask(&policy, "a").await.allowed());
        }
    }
    server.restart_empty().await;
    all_up(&fleet).await;
    let observer = Instance::up(&server.url()).await;
    // 50 were admitted. Who knows of 30 and admitted 10 restores that much; the 10 of the other
    // come on top of it, or are within it when he was first.
    let left = observer.left(&policy, "a").await;
    assert!([50, 60].contains(&left), "{left}");
    assert!(!observer.ask(&policy, "spent").await.allowed(), "it had spent all before");
}

#[tokio::test]
async fn an_outage_longer_than_the_window_owes_nothing() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let one = Instance::up(&proxy.url()).await;
    let policy = RatePolicy::from(Quota::per_second(10));
    proxy.set(Fault::Refuse).await;
    one.is_down().await;
    assert!(one.exhaust(&policy, "a").await >= 10);
    sleep(Duration::from_millis(1_200)).await;
    proxy.set(Fault::Pass).await;
    one.is_up().await;
    assert_eq!(one.left(&policy, "a").await, 10);
    assert_eq!(one.replayed("applied").await, 0);
}

#[tokio::test]
async fn a_charge_whose_answer_was_lost_is_not_charged_twice() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let one = Instance::up(&proxy.url()).await;
    // So that the charge is one command, and its answer can be lost.
    let charge = include_str!("../../../src/store/rate/charge.lua");
    let sha: String = server.query(&["SCRIPT", "LOAD", charge]).await.unwrap();
    let policy = slow(100);
    // Debts without an outage.
    let error = "ERR not now".to_owned();
    proxy.set(Fault::ErrorReplyTo { command: "EVALSHA".into(), error }).await;
    for _ in 0..10 {
        assert_eq!(one.ask(&policy, "a").await.source(), DecisionSource::Memory);
    }
    proxy.set(Fault::lose_answer_to(&format!("EVALSHA {sha}"))).await;
    let settled = eventually(PATIENCE, || async { one.replayed("discarded").await == 1 }).await;
    assert!(settled, "{} applied", one.replayed("applied").await);
    assert_eq!(one.replayed("applied").await, 0, "what was applied was not answered");
    let observer = Instance::up(&server.url()).await;
    assert_eq!(observer.left(&policy, "a").await, 90);
}

#[tokio::test]
async fn what_redis_refuses_is_set_aside() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let user = [
        "ACL",
        "SETUSER",
        "default",
        "resetkeys",
        "~*epoch*",
        "~*instances*",
        "~*canary*",
        "~*good*",
    ];
    server.cli(&user).await.unwrap();
    let one = Instance::up(&proxy.url()).await;
    let policy = slow(100);
    proxy.set(Fault::Refuse).await;
    one.is_down().await;
    for who in ["bad", "good 1", "worse", "good 2"] {
        one.ask(&policy, who).await;
    }
    proxy.set(Fault::Pass).await;
    one.is_up().await;
    assert_eq!(one.replayed("applied").await, 2);
    assert!(one.replayed("failed").await >= 2);
    server.cli(&["ACL", "SETUSER", "default", "allkeys"]).await.unwrap();
    let rest = eventually(PATIENCE, || async { one.replayed("applied").await == 4 }).await;
    assert!(rest, "they are tried again");
    let observer = Instance::up(&server.url()).await;
    for who in ["bad", "good 1", "worse", "good 2"] {
        assert_eq!(observer.left(&policy, who).await, 99, "{who}");
    }
}

#[tokio::test]
async fn a_recovery_that_fails_half_way_charges_once() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let one = Instance::up(&proxy.url()).await;
    let policy = slow(100);
    proxy.set(Fault::Refuse).await;
    one.is_down().await;
    let subjects: Vec<String> = (0..2_000).map(|n| format!("subject {n}")).collect();
    for who in &subjects {
        one.ask(&policy, who).await;
    }
    // Cut off again and again while it settles.
    for _ in 0..8 {
        proxy.set(Fault::Pass).await;
        sleep(Duration::from_millis(60)).await;
        proxy.set(Fault::Refuse).await;
        sleep(Duration::from_millis(20)).await;
    }
    proxy.set(Fault::Pass).await;
    one.is_up().await;
    let all = eventually(PATIENCE, || async {
        one.replayed("applied").await + one.replayed("discarded").await >= 2_000
    });
    assert!(all.await, "{} applied", one.replayed("applied").await);
    let observer = Instance::up(&server.url()).await;
    for who in &subjects {
        assert_eq!(observer.left(&policy, who).await, 99, "{who}");
    }
}

#[tokio::test]
async fn flapping_does_not_double_the_budget() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let fleet = Instance::fleet(&proxy.url(), 2).await;
    let window = Duration::from_millis(500);
    let policy = RatePolicy::from(Quota::new(50, window).unwrap());
    let (began, mut admitted, mut by_memory) = (Instant::now(), 0_u32, 0_u32);
    let mut turns = 0;
    while began.elapsed() < 10 * window {
        let fault = if turns % 2 == 0 { Fault::Refuse } else { Fault::Pass };
        proxy.set(fault).await;
        turns += 1;
        let turn = Instant::now();
        while turn.elapsed() < Duration::from_millis(150) {
            for one in &fleet {
                let verdict = one.ask(&policy, "a").await;
                admitted += u32::from(verdict.allowed());
                by_memory += u32::from(verdict.allowed() && verdict.is_degraded());
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
    let windows = began.elapsed().as_secs_f64() / window.as_secs_f64();
    let limit = 50.0 * (1.0 + windows);
    assert!(f64::from(admitted) <= limit * 1.1, "{admitted} of {limit:.0}, {turns} turns");
    assert!(by_memory > 0 && by_memory < admitted, "{by_memory} of {admitted}");
}

#[tokio::test]
async fn the_limiter_leaves_nothing_behind() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url()).await;
    let Instance { redis, limiter, .. } = one;
    let clone = limiter.clone();
    limiter.decide(&slow(1), &Subject::text("a"), 1).await;
    drop((limiter, clone));
    let before = server.commands_processed("evalsha").await;
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(server.commands_processed("evalsha").await, before, "no more heartbeats");
    assert!(redis.monitor().is_available());
}
