//! One client that makes as many sessions as it can harms nobody but itself.

use evenkeel::{layer::SessionLayer, store::session::SessionStore};
use http::StatusCode;
use serde_json::json;
use tracing::Level;

use super::{
    app::{Instance, keys},
    client::Client,
    support::{Fault, LogCapture, RedisServer},
};

/// What an instance remembers here.
const CAPACITY: usize = 20;

async fn start(server: &RedisServer) -> Instance {
    Instance::with(server, |redis| {
        let store = SessionStore::builder(redis, keys()).with_capacity(CAPACITY).build();
        SessionLayer::from_store(&store).with_stateless_keys(["visits", "a"])
    })
    .await
}

async fn lose(instances: &[&Instance]) {
    for on in instances {
        on.proxy.set(Fault::Refuse).await;
        on.knows_the_outage().await;
    }
}

async fn regain(instances: &[&Instance]) {
    for on in instances {
        on.proxy.set(Fault::Pass).await;
        on.recovers().await;
    }
}

#[tokio::test]
async fn who_logs_in_over_and_over_in_an_outage_logs_nobody_out() {
    let logs = LogCapture::start();
    let server = RedisServer::start().await;
    let (a, b) = (start(&server).await, start(&server).await);
    let alice = Client::logged_in(&a, "alice").await;
    let logged_out = Client::logged_in(&a, "bob").await;
    lose(&[&a, &b]).await;
    assert_eq!(logged_out.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    let mut flood = Client::default();
    for n in 0..CAPACITY * 5 {
        let answer = flood.get(&a, &format!("/login?value=mallory{n}")).await;
        assert_eq!(answer.json()["session"], "stateless");
    }
    assert_eq!(alice.status(&a, "/peek").await, StatusCode::OK);
    assert_eq!(logged_out.status(&a, "/peek").await, StatusCode::UNAUTHORIZED);
    assert!(a.metric("session_operations_total{operation=\"forget\",outcome=\"ok\"}") > 0);
    let warnings = logs.at_least(Level::WARN);
    let told = warnings.iter().filter(|line| line.message.contains("more sessions end")).count();
    assert_eq!(told, 1, "{warnings:?}");
    regain(&[&a, &b]).await;
    for on in [&a, &b, &start(&server).await] {
        assert_eq!(alice.peek(on, "/peek").await.json()["session"], "stored");
        assert_eq!(logged_out.status(on, "/peek").await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn sessions_of_nobody_that_begin_and_end_leave_users_alone_in_the_next_outage() {
    let server = RedisServer::start().await;
    let (a, b) = (start(&server).await, start(&server).await);
    let alice = Client::logged_in(&a, "alice").await;
    for _ in 0..CAPACITY * 5 {
        let mut nobody = Client::default();
        nobody.get(&a, "/set?key=a&value=1").await;
        assert_eq!(nobody.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    }
    lose(&[&a, &b]).await;
    for on in [&a, &b] {
        assert_eq!(alice.status(on, "/peek").await, StatusCode::OK);
    }
}

#[tokio::test]
async fn sessions_of_nobody_hide_no_older_copy() {
    let server = RedisServer::start().await;
    let a = start(&server).await;
    let mut alice = Client::logged_in(&a, "alice").await;
    alice.get(&a, "/set?key=a&value=older").await;
    let older = alice.clone();
    alice.get(&a, "/set?key=a&value=newer").await;
    for _ in 0..CAPACITY * 20 {
        Client::default().get(&a, "/set?key=a&value=1").await;
    }
    lose(&[&a]).await;
    assert_eq!(older.status(&a, "/get?key=a").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(alice.read(&a, "a").await, json!("newer"));
}

#[tokio::test]
async fn what_is_only_suspected_is_refused_here_and_stays_in_redis() {
    let server = RedisServer::start().await;
    let (a, b) = (start(&server).await, start(&server).await);
    let alice = Client::logged_in(&a, "alice").await;
    let mut many = Vec::new();
    for n in 0..CAPACITY * 2 {
        many.push(Client::logged_in(&a, &format!("user{n}")).await);
    }
    lose(&[&a]).await;
    for client in &many {
        assert_eq!(client.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    }
    regain(&[&a]).await;
    assert_eq!(alice.status(&a, "/peek").await, StatusCode::UNAUTHORIZED);
    for on in [&b, &start(&server).await] {
        assert_eq!(alice.peek(on, "/peek").await.json()["session"], "stored");
    }
}
