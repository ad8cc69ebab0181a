//! A password of the sentinels' own, in the environment.
#![cfg(feature = "sentinel")]

use super::{
    gateway::{Gateway, LONG, run},
    support::{Sentinel, eventually},
};

#[tokio::test]
async fn a_password_of_their_own() {
    let set = Sentinel::start_with(Some("QX4-servers"), Some("QX4-sentinel")).await;
    let (at, name) = (set.sentinel.addr(), set.name());
    let url = format!("redis-sentinel://:QX4-servers@{at}/{name}");
    let gateway = Gateway::start(&[
        ("REDIS_URL", &url),
        ("REDIS_SENTINEL_USERNAME", "default"),
        ("REDIS_SENTINEL_PASSWORD", "QX4-sentinel"),
        ("RUST_LOG", "trace"),
    ])
    .await;
    let connected = eventually(LONG, || async {
        let health = gateway.get("/health/dependencies").await;
        health.is_some_and(|health| health.contains("\"connectionState\":\"connected\""))
    });
    assert!(connected.await);
    let mut said = gateway.get("/health/dependencies").await.unwrap();
    said += &gateway.stop().await;
    assert!(!said.contains("QX4"), "{said}");
}

#[tokio::test]
async fn a_user_alone() {
    let output = run(&[("REDIS_SENTINEL_USERNAME", "app")]).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("REDIS_SENTINEL_PASSWORD"), "{error}");
}
