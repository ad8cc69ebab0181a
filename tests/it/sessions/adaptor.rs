//! The store for tower-sessions: its users' handlers, and its contract.

use std::time::Duration;

use axum::{Json, Router, routing};
use evenkeel::store::session::TowerSessionStore;
use http::StatusCode;
use serde_json::json;
use tower_sessions::{
    Expiry, Session, SessionManagerLayer, SessionStore,
    cookie::time::{Duration as Span, OffsetDateTime},
    session::{Id, Record},
};

use super::{
    app::{Instance, PATIENCE},
    client::Client,
    support::{Fault, RedisServer, eventually},
};

fn record(value: &str, lives: i64) -> Record {
    Record {
        id: Id::default(),
        data: [("value".to_owned(), json!(value))].into(),
        expiry_date: OffsetDateTime::now_utc() + Span::seconds(lives),
    }
}

/// An instance whose handlers know tower-sessions only.
async fn instance(server: &RedisServer, capacity: usize) -> (Instance, TowerSessionStore) {
    let instance = Instance::start(server).await;
    let store = TowerSessionStore::builder(&instance.redis).with_capacity(capacity).build();
    let layer = SessionManagerLayer::new(store.clone())
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(Span::hours(1)));
    let count = async |session: Session| {
        let count: u64 = session.get("count").await.unwrap().unwrap_or(0) + 1;
        session.insert("count", count).await.unwrap();
        Json(json!(count))
    };
    let router = Router::new()
        .route("/count", routing::get(count))
        .route("/cycle", routing::get(async |session: Session| session.cycle_id().await.unwrap()))
        .route("/logout", routing::get(async |session: Session| session.flush().await.unwrap()))
        .layer(layer);
    (Instance { router, ..instance }, store)
}

#[tokio::test]
async fn the_contract_of_the_store() {
    let server = RedisServer::start().await;
    let (_a, store) = instance(&server, 100).await;
    let mut one = record("one", 60);
    let id = one.id;
    store.create(&mut one).await.unwrap();
    assert_eq!(one.id, id);
    let loaded = store.load(&id).await.unwrap().unwrap();
    assert_eq!(loaded.data, one.data);
    assert!((loaded.expiry_date - one.expiry_date).abs() < Span::seconds(1));
    // An id that is taken is given anew.
    let mut other = Record { id, ..record("other", 60) };
    store.create(&mut other).await.unwrap();
    assert_ne!(other.id, id);
    assert_eq!(store.load(&id).await.unwrap().unwrap().data["value"], "one");
    // What is not there any more in what is saved is not there any more.
    one.data = [("more".to_owned(), json!({ "a": [1, 2] }))].into();
    one.expiry_date += Span::seconds(600);
    store.save(&one).await.unwrap();
    let loaded = store.load(&id).await.unwrap().unwrap();
    assert_eq!(loaded.data, one.data);
    assert!((loaded.expiry_date - one.expiry_date).abs() < Span::seconds(2));
    store.delete(&id).await.unwrap();
    assert!(store.load(&id).await.unwrap().is_none());
    // Who is slower does not bring it back.
    store.save(&one).await.unwrap();
    assert!(store.load(&id).await.unwrap().is_none());
    assert!(store.load(&Id::default()).await.unwrap().is_none());
    let mut short = record("short", 1);
    store.create(&mut short).await.unwrap();
    let gone = eventually(PATIENCE, || async { store.load(&short.id).await.unwrap().is_none() });
    assert!(gone.await);
}

#[tokio::test]
async fn handlers_go_on_through_an_outage() {
    let server = RedisServer::start().await;
    let (a, _) = instance(&server, 100).await;
    let (b, _) = instance(&server, 100).await;
    let mut client = Client::default();
    for count in 1..=4 {
        let on = if count % 2 == 0 { &a } else { &b };
        assert_eq!(client.get(on, "/count").await.body, count.to_string());
    }
    for fault in [Fault::BlackHole, Fault::Refuse] {
        a.proxy.set(fault).await;
        let before: u64 = client.get(&a, "/count").await.body.parse().unwrap();
        for more in 1..=20 {
            assert_eq!(client.get(&a, "/count").await.body, (before + more).to_string());
        }
        a.proxy.set(Fault::Pass).await;
        a.recovers().await;
        let wanted = format!("count{}", before + 20);
        let written = eventually(PATIENCE, || async {
            let records: Vec<String> =
                server.query(&["KEYS", "evenkeel:session:{*}"]).await.unwrap();
            let value: Vec<u8> = server.query(&["GET", &records[0]]).await.unwrap();
            value.ends_with(wanted.as_bytes())
        });
        assert!(written.await, "nobody asked for it, and it was brought to Redis");
        assert_eq!(client.get(&b, "/count").await.body, (before + 21).to_string());
        // What the other has written is in the copy of this one when it has served it again.
        assert_eq!(client.get(&a, "/count").await.body, (before + 22).to_string());
    }
}

#[tokio::test]
async fn begun_and_ended_in_an_outage() {
    let server = RedisServer::start().await;
    let (a, _) = instance(&server, 100).await;
    let (b, _) = instance(&server, 100).await;
    let mut ended = Client::default();
    ended.get(&a, "/count").await;
    let kept = ended.clone();
    a.proxy.set(Fault::Refuse).await;
    a.knows_the_outage().await;
    assert_eq!(ended.get(&a, "/logout").await.status, StatusCode::OK);
    assert_eq!(kept.peek(&a, "/count").await.body, "1", "another session");
    let mut begun = Client::default();
    assert_eq!(begun.get(&a, "/count").await.body, "1");
    begun.get(&a, "/cycle").await;
    assert_eq!(begun.get(&a, "/count").await.body, "2");
    a.proxy.set(Fault::Pass).await;
    a.recovers().await;
    assert_eq!(kept.peek(&b, "/count").await.body, "1", "another session");
    let known = eventually(PATIENCE, || async { begun.peek(&b, "/count").await.body == "3" });
    assert!(known.await, "the session that began in the outage");
}

#[tokio::test]
async fn unknown_is_an_error_at_once_and_never_absent() {
    let server = RedisServer::start().await;
    let (a, _) = instance(&server, 100).await;
    let (b, store) = instance(&server, 100).await;
    let mut client = Client::default();
    client.get(&a, "/count").await;
    b.proxy.set(Fault::Refuse).await;
    b.knows_the_outage().await;
    // This instance has never served it.
    assert!(store.load(&Id::default()).await.is_err());
    b.proxy.set(Fault::Pass).await;
    b.recovers().await;
    assert_eq!(client.get(&b, "/count").await.body, "2");
    let store = TowerSessionStore::builder(&b.redis).with_max_offline_age(Duration::ZERO).build();
    let mut one = record("one", 60);
    store.create(&mut one).await.unwrap();
    b.proxy.set(Fault::Refuse).await;
    b.knows_the_outage().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(store.load(&one.id).await.is_err(), "too long ago");
}

#[tokio::test]
async fn at_the_bound_a_write_is_an_error_and_none_is_dropped() {
    let server = RedisServer::start().await;
    let (a, store) = instance(&server, 5).await;
    a.proxy.set(Fault::Refuse).await;
    a.knows_the_outage().await;
    let mut begun = Vec::new();
    for n in 0..8 {
        let mut one = record(&n.to_string(), 60);
        assert_eq!(store.create(&mut one).await.is_ok(), n < 5, "{n}");
        begun.push(one);
    }
    for one in &begun[..5] {
        assert_eq!(store.load(&one.id).await.unwrap().unwrap().data, one.data);
    }
    a.proxy.set(Fault::Pass).await;
    a.recovers().await;
    let written = eventually(PATIENCE, || async {
        let records: Vec<String> = server.query(&["KEYS", "evenkeel:session:{*}"]).await.unwrap();
        records.len() == 5
    });
    assert!(written.await);
}

#[tokio::test]
async fn redis_empty_what_was_served_here_goes_on() {
    let server = RedisServer::start().await;
    let (a, _) = instance(&server, 100).await;
    let mut client = Client::default();
    client.get(&a, "/count").await;
    server.kill();
    a.knows_the_outage().await;
    server.restart_empty().await;
    a.recovers().await;
    assert_eq!(client.get(&a, "/count").await.body, "2");
}
