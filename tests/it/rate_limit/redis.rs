//! While Redis serves.

use std::time::Duration;

use evenkeel::store::rate::{DecisionSource, Quota, RatePolicy, Retry};
use futures_util::future::join_all;

use super::{
    Instance, slow,
    support::{RedisServer, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_share_one_budget_exactly() {
    let server = RedisServer::start().await;
    let fleet = Instance::fleet(&server.url(), 2).await;
    let policy = slow(100);
    let verdicts = join_all((0..2_000).map(|n| fleet[n % 2].ask(&policy, "a"))).await;
    assert_eq!(verdicts.iter().filter(|verdict| verdict.allowed()).count(), 100);
    assert!(verdicts.iter().all(|verdict| !verdict.is_degraded()));
    // Once more, now that both know.
    let before = server.commands_processed("evalsha").await;
    for n in 0..200 {
        let verdict = fleet[n % 2].ask(&policy, "a").await;
        assert_eq!((verdict.allowed(), verdict.source()), (false, DecisionSource::DenyCache));
    }
    let after = server.commands_processed("evalsha").await;
    assert!(after - before < 100, "the deny cache asks nobody: {before}, {after}");
}

#[tokio::test]
async fn one_key_that_expires_and_holds_no_secret() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url()).await;
    let policy = RatePolicy::from([Quota::per_minute(10), Quota::per_hour(100)]).with_name("api");
    let who = evenkeel::store::rate::Subject::secret("hunter2").and_text("größe {x}");
    one.limiter.decide(&policy, &who, 1).await;
    let keys: Vec<String> = server.query(&["KEYS", "*rate:api*"]).await.unwrap();
    let [key] = &keys[..] else { panic!("{keys:?}") };
    assert!(key.starts_with("evenkeel:rate:api:") && key.ends_with('}'), "{key}");
    assert!(!key.contains("hunter2") && key.matches('{').count() == 1, "{key}");
    let ttl: i64 = server.query(&["PTTL", key]).await.unwrap();
    assert!((1..=36_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_clock_that_was_an_hour_ahead_or_behind() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url()).await;
    let policy = RatePolicy::from(Quota::per_minute(60));
    for (who, ahead) in [("a", 3_600), ("b", -3_600)] {
        one.ask(&policy, who).await;
        let keys: Vec<String> = server.query(&["KEYS", &format!("*{{{who}}}")]).await.unwrap();
        let (seconds, _): (i64, i64) = server.query(&["TIME"]).await.unwrap();
        let stored = ((seconds + ahead) * 1_000_000).to_string();
        server.cli(&["SET", &keys[0], &stored]).await.unwrap();
        let fresh = Instance::up(&server.url()).await;
        let verdict = fresh.ask(&policy, who).await;
        match ahead {
            ..0 => assert_eq!(verdict.remaining(), 59),
            _ => {
                let Some(Retry::After(wait)) = verdict.retry() else { panic!("{verdict:?}") };
                assert!(wait <= Duration::from_secs(1), "{wait:?}");
                assert!(verdict.reset_after() <= Duration::from_secs(60));
            }
        }
        let ttl: i64 = server.query(&["PTTL", &keys[0]]).await.unwrap();
        assert!((1..=60_000).contains(&ttl), "it expires again: {ttl}");
    }
}

#[tokio::test]
async fn a_foreign_value_is_replaced() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url()).await;
    let policy = slow(5);
    one.ask(&policy, "a").await;
    let keys: Vec<String> = server.query(&["KEYS", "*{a}"]).await.unwrap();
    server.cli(&["DEL", &keys[0]]).await.unwrap();
    server.cli(&["RPUSH", &keys[0], "what", "is", "this"]).await.unwrap();
    let verdict = one.ask(&policy, "a").await;
    assert_eq!((verdict.allowed(), verdict.source()), (true, DecisionSource::Redis));
}

#[tokio::test]
async fn instances_come_and_go() {
    let server = RedisServer::start().await;
    let mut fleet = Instance::fleet(&server.url(), 3).await;
    fleet.truncate(1);
    let alone =
        eventually(super::PATIENCE, || async { fleet[0].limiter.instances().get() == 1 }).await;
    assert!(alone, "{:?}", fleet[0].limiter);
}

#[tokio::test]
async fn scripts_may_be_flushed_at_any_time() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url()).await;
    let policy = slow(5);
    for left in (0..5).rev() {
        server.cli(&["SCRIPT", "FLUSH"]).await.unwrap();
        assert_eq!(one.ask(&policy, "a").await.remaining(), left);
    }
}

#[tokio::test]
async fn decisions_are_counted() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url()).await;
    let policy = slow(3).with_name("counted");
    for _ in 0..5 {
        one.ask(&policy, "a").await;
    }
    let count = async |decision: &str, source: &str| {
        let labels = ["policy=\"counted\"", decision, source];
        one.metric("rate_limit_decisions_total", &labels).await
    };
    assert_eq!(count("\"allowed\"", "\"redis\"").await, Some(3));
    assert_eq!(count("\"limited\"", "\"redis\"").await, Some(0));
    assert_eq!(count("\"limited\"", "\"deny_cache\"").await, Some(2));
    assert_eq!(count("\"allowed\"", "\"deny_cache\"").await, None, "it only refuses");
    assert_eq!(count("\"shadow_limited\"", "\"redis\"").await, None, "not in shadow mode");
    assert_eq!(count("\"allowed\"", "\"memory\"").await, None, "it has decided nothing");
    assert_eq!(one.metric("redis_fallback_hits_total", &["\"rate_limit\""]).await, Some(0));
}
