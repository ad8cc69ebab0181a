//! Applications and environments that share `SESSION_KEYS` share no session.

use evenkeel::{
    ErrorKind,
    redis::{Redis, RedisConfig},
};
use http::StatusCode;

use super::{
    app::{Instance, keys},
    client::Client,
    support::{Fault, RedisServer},
};

const SHOP: &str = "shop";
const ADMIN: &str = "admin";

#[tokio::test]
async fn a_login_at_one_application_is_nothing_at_another_with_the_same_keys() {
    let (server, other) = (RedisServer::start().await, RedisServer::start().await);
    let shop = Instance::of(&server, SHOP, keys()).await;
    let client = Client::logged_in(&shop, "alice").await;
    let logged_out = Client::logged_in(&shop, "bob").await;
    assert_eq!(logged_out.status(&shop, "/logout").await, StatusCode::NO_CONTENT);
    let admins =
        [Instance::of(&server, ADMIN, keys()).await, Instance::of(&other, ADMIN, keys()).await];
    for admin in &admins {
        for client in [&client, &logged_out] {
            let answer = client.peek(admin, "/me").await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
            assert!(answer.sets_nothing());
        }
        admin.proxy.set(Fault::Refuse).await;
        admin.knows_the_outage().await;
        for client in [&client, &logged_out] {
            assert_eq!(client.status(admin, "/me").await, StatusCode::SERVICE_UNAVAILABLE);
        }
    }
    shop.proxy.set(Fault::Refuse).await;
    shop.knows_the_outage().await;
    assert_eq!(client.status(&shop, "/peek").await, StatusCode::OK);
    server.restart_empty().await;
    other.restart_empty().await;
    shop.proxy.set(Fault::Pass).await;
    shop.recovers().await;
    let new = Instance::of(&server, ADMIN, keys()).await;
    for admin in &admins {
        admin.proxy.set(Fault::Pass).await;
        admin.recovers().await;
    }
    for admin in admins.iter().chain([&new]) {
        for client in [&client, &logged_out] {
            assert_eq!(client.status(admin, "/me").await, StatusCode::UNAUTHORIZED);
        }
    }
    assert_eq!(client.status(&shop, "/me").await, StatusCode::OK);
    assert_eq!(logged_out.status(&shop, "/me").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_namespace_is_refused_where_redis_namespace_would_be() {
    for wrong in ["", "shop:session", "shop{1}", "a b", "\u{e9}", &"x".repeat(65)] {
        let url = "redis://127.0.0.1:1".parse().unwrap();
        let error = Redis::new(RedisConfig::new(url).with_namespace(wrong)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("letters, digits"), "{error}");
    }
}

#[tokio::test]
async fn another_audience_is_another_application_whatever_else_is_the_same() {
    let server = RedisServer::start().await;
    let production = Instance::of(&server, SHOP, keys().with_audience("production")).await;
    let staging = Instance::of(&server, SHOP, keys().with_audience("staging")).await;
    let client = Client::logged_in(&production, "alice").await;
    for on in [&production, &staging] {
        on.proxy.set(Fault::Refuse).await;
        on.knows_the_outage().await;
    }
    assert_eq!(client.status(&staging, "/me").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(client.status(&production, "/me").await, StatusCode::OK);
}

#[tokio::test]
async fn another_redis_with_the_same_namespace_and_keys_restores_nothing() {
    let (server, other) = (RedisServer::start().await, RedisServer::start().await);
    let (a, b) = (Instance::start(&server).await, Instance::start(&other).await);
    let client = Client::logged_in(&a, "alice").await;
    a.proxy.set(Fault::Refuse).await;
    a.knows_the_outage().await;
    let mut offline = Client::default();
    assert_eq!(offline.get(&a, "/login?value=bob").await.json()["session"], "stateless");
    for client in [&client, &offline] {
        assert_eq!(client.status(&b, "/me").await, StatusCode::UNAUTHORIZED);
    }
    other.kill();
    b.knows_the_outage().await;
    other.restart_empty().await;
    b.recovers().await;
    let c = Instance::start(&other).await;
    for on in [&b, &c] {
        for client in [&client, &offline] {
            assert_eq!(client.status(on, "/me").await, StatusCode::UNAUTHORIZED);
        }
    }
    // An instance that comes after a loss learns of the epoch before it from those that knew it.
    server.restart_empty().await;
    a.proxy.set(Fault::Pass).await;
    a.recovers().await;
    let new = Instance::start(&server).await;
    for client in [&client, &offline] {
        assert_eq!(client.status(&new, "/me").await, StatusCode::OK);
    }
}
