//! While Redis is away, and what becomes of it afterwards.

use std::time::{Duration, Instant};

use axum::{Router, routing};
use evenkeel::{
    health::State,
    layer::{CheckRedisLayer, RedisStatus, Session, SessionLayer},
    redis::deadpool_redis::redis,
};
use http::{StatusCode, header};
use serde_json::json;

use super::{
    app::{Instance, OP_TIMEOUT, keys},
    client::{Client, SD, SID, get},
    support::{Fault, RedisServer},
};

async fn two(server: &RedisServer) -> (Instance, Instance) {
    (Instance::start(server).await, Instance::start(server).await)
}

async fn cut_off(instances: &[&Instance]) {
    for on in instances {
        on.proxy.set(Fault::Refuse).await;
        on.knows_the_outage().await;
    }
}

async fn mend(instances: &[&Instance]) {
    for on in instances {
        on.proxy.set(Fault::Pass).await;
        on.recovers().await;
    }
}

#[tokio::test]
async fn redis_refused_a_hundred_requests_on_both_are_served_as_the_same_user() {
    let server = RedisServer::start().await;
    let (a, b) = two(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    // No waiting: the first request finds out by itself.
    a.proxy.set(Fault::Refuse).await;
    b.proxy.set(Fault::Refuse).await;
    for visits in 1..=100 {
        let answer = client.get(if visits % 2 == 0 { &a } else { &b }, "/me").await;
        let expected = json!({ "user": "alice", "visits": visits, "session": "stateless" });
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, expected));
    }
    assert!(a.metric("redis_fallback_hits_total{feature=\"session\"}") >= 50);
    mend(&[&a, &b]).await;
    for visits in 101..=110 {
        let answer = client.get(if visits % 2 == 0 { &a } else { &b }, "/me").await;
        let expected = json!({ "user": "alice", "visits": visits, "session": "stored" });
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, expected));
    }
    assert!(
        b.metric("redis_recovery_replayed_total{feature=\"session\",outcome=\"applied\"}") >= 1
    );
}

#[tokio::test]
async fn black_hole_in_a_handler_that_touches_much_costs_one_op_timeout_in_all() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let redis = a.redis.clone();
    let layer = SessionLayer::new(&a.redis, keys()).with_stateless_keys(["visits"]);
    let handler = async move |session: Session, _: RedisStatus| {
        let other: Result<Option<String>, _> = redis.query(redis::cmd("GET").arg("other")).await;
        let user = session.subject().await.unwrap();
        let again: Result<Option<String>, _> = redis.query(redis::cmd("GET").arg("again")).await;
        session.insert("visits", 7).await.unwrap();
        format!("{} {} {user:?}", other.is_ok(), again.is_ok())
    };
    let router = Router::new()
        .route("/much", routing::get(handler))
        .layer(layer)
        .layer(CheckRedisLayer::new(a.monitor()));
    let client = Client::logged_in(&a, "alice").await;
    let a = Instance { router, ..a };
    a.proxy.set(Fault::BlackHole).await;
    let began = Instant::now();
    let answer = client.peek(&a, "/much").await;
    let took = began.elapsed();
    assert_eq!(answer.body, "false false Some(\"alice\")");
    assert!(took >= OP_TIMEOUT, "the hole was not met: {took:?}");
    assert!(took < OP_TIMEOUT * 2, "waited more than once: {took:?}");
    // Once it is known, nothing waits at all.
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(client.status(&a, "/much").await, StatusCode::OK);
    }
    assert!(began.elapsed() < OP_TIMEOUT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn one_failed_read_followed_by_a_good_write_keeps_the_old_data() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    for key in ["a", "undeclared"] {
        // The second is no key that may travel: only Redis has it.
        client.get(&a, &format!("/set?key={key}&value=old")).await;
    }
    // With the snapshot: what is written joins what is there. Without it: nothing is written at
    // all.
    for (shown, status) in [(client.clone(), 200), (client.clone().without(SD), 503)] {
        let error = "LOADING Redis is loading the dataset in memory".to_owned();
        a.proxy.set(Fault::ErrorReplyTo { command: "GET".into(), error }).await;
        let mut shown = shown;
        let answer = shown.get(&a, "/set?key=b&value=new").await;
        assert_eq!(answer.status, status, "{answer:?}");
        mend(&[&a]).await;
        for (key, value) in [("a", "old"), ("undeclared", "old"), ("visits", "0")] {
            let value = serde_json::from_str(value).unwrap_or(json!(value));
            assert_eq!(shown.get(&a, &format!("/get?key={key}")).await.json(), value, "{key}");
        }
        assert_eq!(client.read(&a, "b").await, json!("new"));
    }
}

#[tokio::test]
async fn each_error_class_degrades() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    let mut visits = 0;
    for error in [
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "CLUSTERDOWN The cluster is down",
        "BUSY Redis is busy running a script.",
        "READONLY You can't write against a read only replica.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots",
        "NOREPLICAS Not enough good replicas to write.",
        "NOAUTH Authentication required.",
        "NOPERM this user has no permissions to run the command",
        "ERR unknown command",
    ] {
        a.proxy.set(Fault::ErrorReply(error.into())).await;
        let answer = client.get(&a, "/me").await;
        visits += 1;
        let expected = json!({ "user": "alice", "visits": visits, "session": "stateless" });
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, expected), "{error}");
        mend(&[&a]).await;
    }
    for fault in [Fault::Refuse, Fault::Reset, Fault::BlackHole, Fault::Garbage, Fault::CutToClient]
    {
        a.proxy.set(fault.clone()).await;
        let answer = client.get(&a, "/me").await;
        visits += 1;
        assert_eq!(
            (answer.status, &answer.json()["visits"]),
            (StatusCode::OK, &json!(visits)),
            "{fault:?}"
        );
        mend(&[&a]).await;
    }
    assert_eq!(client.get(&a, "/me").await.json()["session"], "stored");
}

#[tokio::test]
async fn wrongtype_on_one_key_harms_that_session_alone() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let mut other = Client::logged_in(&a, "bob").await;
    let before: Vec<String> = server.query(&["KEYS", "evenkeel:session:{*}"]).await.unwrap();
    let mut client = Client::logged_in(&a, "alice").await;
    let after: Vec<String> = server.query(&["KEYS", "evenkeel:session:{*}"]).await.unwrap();
    let record = after.iter().find(|key| !before.contains(key)).unwrap();
    server.cli(&["DEL", record]).await.unwrap();
    server.cli(&["SET", record, "not a session"]).await.unwrap();
    let answer = client.get(&a, "/me").await;
    assert_eq!((answer.status, &answer.json()["session"]), (StatusCode::OK, &json!("stateless")));
    assert_eq!(client.clone().without(SD).status(&a, "/me").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(other.get(&a, "/me").await.json()["session"], "stored");
    assert_eq!(a.monitor().state(), State::Connected);
    assert_eq!(a.monitor().status().outages, 0);
    // Logging out mends it.
    client.get(&a, "/logout").await;
    assert!(!server.query::<bool>(&["EXISTS", record]).await.unwrap());
}

#[tokio::test]
async fn unavailable_is_503_and_the_cookies_stay() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let client = Client::logged_in(&a, "alice").await;
    let id_only = client.clone().without(SD);
    cut_off(&[&a]).await;
    for path in
        ["/me", "/peek", "/get?key=a", "/set?key=a&value=1", "/remove?key=a", "/cycle", "/fresh"]
    {
        let answer = id_only.peek(&a, path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.sets_nothing(), "{path}");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
        let seconds: u64 = answer.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!(seconds >= 1);
        assert_eq!(answer.json()["error"], "Service Temporarily Unavailable");
    }
    // What only Redis knows is not taken for absent, and what must be fresh is not run.
    assert_eq!(client.status(&a, "/get?key=a").await, StatusCode::OK);
    assert_eq!(client.status(&a, "/fresh").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        client.status(&a, "/set?key=undeclared&value=1").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    mend(&[&a]).await;
    assert_eq!(id_only.status(&a, "/me").await, StatusCode::OK);
    assert_eq!(client.peek(&a, "/fresh").await.body, "alice");
}

#[tokio::test]
async fn log_in_during_an_outage_and_find_the_session_stored_after_it() {
    let server = RedisServer::start().await;
    let (a, b) = two(&server).await;
    cut_off(&[&a, &b]).await;
    let mut client = Client::default();
    let answer = client.get(&a, "/login?value=alice").await;
    assert_eq!(answer.json(), json!({ "user": "alice", "session": "stateless" }));
    for visits in 1..=6 {
        let answer = client.get(if visits % 2 == 0 { &a } else { &b }, "/me").await;
        assert_eq!(answer.json()["visits"], visits);
    }
    mend(&[&a, &b]).await;
    let answer = client.get(&b, "/me").await;
    assert_eq!(answer.json(), json!({ "user": "alice", "visits": 7, "session": "stored" }));
    assert_eq!(client.clone().without(SD).peek(&a, "/peek").await.json()["user"], "alice");
    assert_eq!(a.store.list("alice").await.unwrap().len(), 1);
}

#[tokio::test]
async fn max_offline_age_is_never_extended_by_reissuing() {
    let age = Duration::from_secs(2);
    let server = RedisServer::start().await;
    let a = Instance::with(&server, |redis| {
        SessionLayer::new(redis, keys()).with_stateless_keys(["visits"]).with_max_offline_age(age)
    })
    .await;
    let mut client = Client::logged_in(&a, "alice").await;
    let verified = Instant::now();
    cut_off(&[&a]).await;
    let mut served = 0;
    while client.get(&a, "/me").await.status == StatusCode::OK {
        served += 1;
        assert!(verified.elapsed() < age * 5, "re-issued {served} times and still believed");
        tokio::time::sleep(age / 20).await;
    }
    assert!(served > 1, "it was re-issued {served} times");
    assert!(verified.elapsed() >= age);
    assert_eq!(client.status(&a, "/me").await, StatusCode::SERVICE_UNAVAILABLE);
    mend(&[&a]).await;
    assert_eq!(client.get(&a, "/me").await.status, StatusCode::OK);
}

#[tokio::test]
async fn replay_of_an_older_degraded_cookie_does_not_roll_back() {
    let server = RedisServer::start().await;
    let (a, b) = two(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    cut_off(&[&a, &b]).await;
    let mut older = vec![client.clone()];
    for value in 1..=4 {
        client.get(&a, &format!("/set?key=a&value={value}")).await;
        older.push(client.clone());
    }
    for replayed in &older {
        assert_eq!(replayed.read(&a, "a").await, json!("4"), "in the outage");
    }
    mend(&[&a, &b]).await;
    for replayed in &mut older {
        replayed.get(&a, "/peek").await;
        assert_eq!(replayed.read(&a, "a").await, json!("4"), "after it");
        assert_eq!(replayed.get(&b, "/peek").await.status, StatusCode::OK);
        assert_eq!(client.read(&b, "a").await, json!("4"), "on the other instance");
    }
}

#[tokio::test]
async fn replay_on_an_instance_that_knows_nothing_loses_to_what_was_written_back() {
    let server = RedisServer::start().await;
    let (a, b) = two(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    cut_off(&[&a, &b]).await;
    client.get(&a, "/set?key=a&value=older").await;
    let older = client.clone();
    client.get(&a, "/set?key=a&value=newer").await;
    mend(&[&a, &b]).await;
    client.get(&a, "/peek").await;
    let answer = older.peek(&b, "/get?key=a").await;
    assert_eq!(answer.json(), json!("newer"));
    assert_eq!(
        b.metric("redis_recovery_replayed_total{feature=\"session\",outcome=\"discarded\"}"),
        1
    );
    assert_eq!(client.read(&a, "a").await, json!("newer"));
}

#[tokio::test]
async fn two_forks_from_one_version_lose_no_unrelated_key() {
    let server = RedisServer::start().await;
    let (a, b) = two(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    client.get(&a, "/set?key=c&value=before").await;
    cut_off(&[&a, &b]).await;
    let (mut one, mut other) = (client.clone(), client.clone());
    one.get(&a, "/set?key=a&value=one").await;
    one.get(&a, "/set?key=visits&value=one").await;
    other.get(&b, "/set?key=b&value=other").await;
    other.get(&b, "/remove?key=c").await;
    mend(&[&a, &b]).await;
    assert_eq!(one.get(&b, "/peek").await.json()["session"], "stored");
    assert_eq!(other.get(&a, "/peek").await.json()["session"], "stored");
    for (key, value) in
        [("a", json!("one")), ("b", json!("other")), ("visits", json!("one")), ("c", json!(null))]
    {
        assert_eq!(client.clone().without(SD).read(&a, key).await, value, "{key}");
    }
}

#[tokio::test]
async fn two_requests_with_one_cookie_in_an_outage_lose_nothing() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let client = Client::logged_in(&a, "alice").await;
    cut_off(&[&a]).await;
    let (mut one, mut other) = (client.clone(), client.clone());
    one.get(&a, "/set?key=a&value=one").await;
    other.get(&a, "/set?key=b&value=other").await;
    mend(&[&a]).await;
    other.get(&a, "/peek").await;
    for (key, value) in [("a", "one"), ("b", "other")] {
        assert_eq!(client.clone().without(SD).read(&a, key).await, json!(value));
    }
}

#[tokio::test]
async fn over_4096_bytes_nothing_oversized_is_sent_and_nothing_spilled_is_deleted_later() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    // The client asserts that no cookie is too large for a browser.
    let mut client = Client::logged_in(&a, "alice").await;
    let large = "x".repeat(1_500);
    for key in ["a", "b", "c"] {
        client.get(&a, &format!("/set?key={key}&value={large}")).await;
    }
    cut_off(&[&a]).await;
    assert_eq!(client.read(&a, "a").await, json!(large));
    assert_eq!(client.status(&a, "/get?key=c").await, StatusCode::SERVICE_UNAVAILABLE, "spilled");
    let answer = client.get(&a, "/set?key=visits&value=5").await;
    assert_eq!(answer.status, StatusCode::OK);
    let huge = "y".repeat(4_000);
    let answer = client.get(&a, &format!("/set?key=c&value={huge}")).await;
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "what finds no room is not lost in silence"
    );
    assert!(answer.sets_nothing());
    mend(&[&a]).await;
    assert_eq!(client.get(&a, "/peek").await.json()["session"], "stored");
    for (key, value) in [("a", &large), ("b", &large), ("c", &large), ("visits", &"5".to_owned())] {
        assert_eq!(client.read(&a, key).await, json!(value), "{key}");
    }
}

#[tokio::test]
async fn with_writes_gone_reads_go_on_and_writes_travel() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    client.get(&a, "/set?key=undeclared&value=1").await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    for visits in 1..=3 {
        let answer = client.get(&a, "/me").await;
        let expected = json!({ "user": "alice", "visits": visits, "session": "stateless" });
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, expected));
    }
    assert!(a.monitor().can_read() && !a.monitor().can_write());
    assert_eq!(client.read(&a, "undeclared").await, json!("1"), "Redis still reads");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    a.recovers().await;
    let answer = client.get(&a, "/me").await;
    assert_eq!(answer.json(), json!({ "user": "alice", "visits": 4, "session": "stored" }));
}

#[tokio::test]
async fn a_new_id_in_an_outage_and_the_old_one_stays_dead() {
    let server = RedisServer::start().await;
    let (a, b) = two(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    let old = client.clone();
    cut_off(&[&a, &b]).await;
    client.get(&a, "/cycle").await;
    assert_ne!(client.jar[SID], old.jar[SID]);
    assert_eq!(client.get(&b, "/me").await.json()["visits"], 1);
    assert_eq!(old.status(&a, "/me").await, StatusCode::UNAUTHORIZED);
    mend(&[&a, &b]).await;
    for on in [&a, &b] {
        assert_eq!(old.status(on, "/me").await, StatusCode::UNAUTHORIZED);
        assert_eq!(client.status(on, "/me").await, StatusCode::OK);
    }
}

#[tokio::test]
async fn before_redis_was_ever_reached_snapshots_are_honoured() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    server.kill();
    let late = Instance::unconnected(&server, |redis| {
        SessionLayer::new(redis, keys()).with_stateless_keys(["visits"])
    })
    .await;
    assert_eq!(client.get(&late, "/me").await.json()["session"], "stateless");
    assert_eq!(
        client.clone().without(SD).status(&late, "/me").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(get(&late, "/me", "").await.status, StatusCode::UNAUTHORIZED);
}
