//! Sentinels and servers with a password, with none, and with two different ones.
#![cfg(feature = "sentinel")]

use evenkeel::{
    health::State,
    redis::{Redis, RedisConfig, RedisUrl, SubscriptionEvent},
};
use redis::cmd;

use super::{
    LONG,
    support::{Sentinel, eventually},
    world::health,
};

fn handle(
    set: &Sentinel,
    password: Option<&str>,
    settings: impl FnOnce(RedisConfig) -> RedisConfig,
) -> Redis {
    let user = password.map(|password| format!(":{password}@")).unwrap_or_default();
    let url = format!("redis-sentinel://{user}{}/{}", set.sentinel.addr(), set.name());
    let url: RedisUrl = url.parse().unwrap();
    Redis::new(settings(RedisConfig::new(url).with_health(health()))).unwrap()
}

async fn serves(redis: &Redis, set: &Sentinel) {
    assert!(redis.monitor().wait_available(LONG).await, "{:?}", redis.monitor());
    redis.query::<()>(cmd("SET").arg("key").arg(1)).await.unwrap();
    let value: String = set.master.query(&["GET", "key"]).await.unwrap();
    assert_eq!(value, "1");
    // Subscriptions find the master by themselves.
    let mut messages = redis.subscribe(["channel"]).await.unwrap();
    redis.query::<()>(cmd("PUBLISH").arg("channel").arg("hello")).await.unwrap();
    let event = tokio::time::timeout(LONG, messages.recv()).await.unwrap();
    assert!(matches!(event, Some(SubscriptionEvent::Message(_))), "{event:?}");
}

#[tokio::test]
async fn none_and_one() {
    let set = Sentinel::start_with(Some("servers-pw"), None).await;
    serves(&handle(&set, Some("servers-pw"), |config| config), &set).await;
}

#[tokio::test]
async fn one_and_none() {
    let set = Sentinel::start_with(None, Some("sentinel-pw")).await;
    let redis = handle(&set, None, |config| config.with_sentinel_password("sentinel-pw"));
    serves(&redis, &set).await;
    let redis = handle(&set, None, |config| config);
    refused(&redis, "credentials: NOAUTH").await;
}

#[tokio::test]
async fn two_different_ones() {
    let set = Sentinel::start_with(Some("servers-pw"), Some("sentinel-pw")).await;
    let redis = handle(&set, Some("servers-pw"), |config| {
        config.with_sentinel_username("default").with_sentinel_password("sentinel-pw")
    });
    serves(&redis, &set).await;
    let redis = handle(&set, Some("servers-pw"), |config| config);
    refused(&redis, "credentials: WRONGPASS").await;
    let redis =
        handle(&set, Some("other-pw"), |config| config.with_sentinel_password("sentinel-pw"));
    refused(&redis, "credentials: WRONGPASS").await;
}

#[tokio::test]
async fn the_same_one_and_a_failover() {
    let set = Sentinel::start_with(Some("same-pw"), Some("same-pw")).await;
    let redis = handle(&set, Some("same-pw"), |config| config);
    serves(&redis, &set).await;
    set.master.kill();
    set.wait_for_failover().await;
    let again = eventually(2 * LONG, || async {
        redis.query::<()>(cmd("SET").arg("key").arg(2)).await.is_ok()
    });
    assert!(again.await, "{:?}", redis.monitor());
}

#[test]
fn a_user_without_a_password_is_no_login() {
    let url: RedisUrl = "redis-sentinel://localhost/main".parse().unwrap();
    let config = RedisConfig::new(url).with_sentinel_username("app");
    let error = Redis::new(config).unwrap_err().to_string();
    assert!(error.contains("REDIS_SENTINEL_PASSWORD"), "{error}");
}

async fn refused(redis: &Redis, fault: &str) {
    let known = eventually(LONG, || async {
        redis.monitor().status().last_fault.is_some_and(|(seen, _)| seen.to_string() == fault)
    });
    assert!(known.await, "{fault}: {:?}", redis.monitor());
    assert_ne!(redis.monitor().state(), State::Connected);
}
