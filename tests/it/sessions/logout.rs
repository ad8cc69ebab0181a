//! A logout holds: in an outage, after it, and against whoever is slower.

use std::time::Duration;

use evenkeel::{
    health::{Stage, State},
    layer::SessionLayer,
    redis::deadpool_redis::redis,
    store::session::{Expiry, SessionStore},
};
use futures_util::StreamExt;
use http::StatusCode;
use tower::ServiceExt;

use super::{
    app::{Instance, PATIENCE, keys},
    client::{Client, SD, SID},
    support::{Fault, RedisServer, eventually},
};

/// The key of the only record there is.
async fn record(server: &RedisServer) -> String {
    let keys: Vec<String> = server.query(&["KEYS", "evenkeel:session:{*}"]).await.unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys[0].clone()
}

async fn exists(server: &RedisServer, key: &str) -> bool {
    server.query(&["EXISTS", key]).await.unwrap()
}

#[tokio::test]
async fn logout_during_the_outage_is_refused_on_replay_and_the_record_gone_before_connected() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let mut client = Client::logged_in(&a, "alice").await;
    let record = record(&server).await;
    let replay = client.clone();
    for on in [&a, &b] {
        on.proxy.set(Fault::Refuse).await;
        on.knows_the_outage().await;
    }
    assert_eq!(client.get(&a, "/logout").await.status, StatusCode::NO_CONTENT);
    assert!(client.jar.is_empty(), "both cookies are taken away");
    for shown in [replay.clone(), replay.clone().without(SD)] {
        assert_eq!(shown.status(&a, "/me").await, StatusCode::UNAUTHORIZED, "on A at once");
    }
    assert!(exists(&server, &record).await);

    // What a step of a later stage sees is what stands when "connected" is announced.
    let (seen, found) = tokio::sync::oneshot::channel();
    let seen = std::sync::Mutex::new(Some(seen));
    let _step = a.redis.on_recovery(Stage::Caches, "witness", {
        let record = record.clone();
        move |mut connection, _| {
            let seen = seen.lock().unwrap().take();
            let ask = redis::cmd("EXISTS").arg(&record).to_owned();
            async move {
                let exists: bool = connection.query(&ask).await?;
                seen.map(|seen| seen.send(exists));
                Ok(())
            }
        }
    });
    let mut transitions = a.monitor().transitions();
    a.proxy.set(Fault::Pass).await;
    a.monitor().request_probe();
    let connected = async {
        while let Some(transition) = transitions.next().await {
            if transition.status.state == State::Connected {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, connected).await.unwrap();
    assert!(!found.await.unwrap(), "the record was there when connected was announced");
    b.proxy.set(Fault::Pass).await;
    b.recovers().await;
    for on in [&a, &b] {
        assert_eq!(replay.status(on, "/me").await, StatusCode::UNAUTHORIZED, "after it");
    }
    assert_eq!(
        a.metric("redis_recovery_replayed_total{feature=\"session\",outcome=\"applied\"}"),
        1
    );
}

#[tokio::test]
async fn a_slow_request_spanning_the_logout_sets_no_cookie_and_writes_nothing() {
    let server = RedisServer::start().await;
    for (outage, id_changes) in [(false, false), (true, false), (false, true)] {
        server.flushall().await;
        let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
        let mut client = Client::logged_in(&a, "alice").await;
        let record = record(&server).await;
        if outage {
            a.proxy.set(Fault::Refuse).await;
            a.knows_the_outage().await;
        }
        // The slow one runs on both instances, unless the other could not know.
        let on: &[&Instance] = if outage { &[&a] } else { &[&a, &b] };
        let mut slow = Vec::new();
        for on in on {
            let cookies = format!("{SID}={}; {SD}={}", client.jar[SID], client.jar[SD]);
            let request = http::Request::builder().uri("/slow").header("cookie", cookies);
            let request = request.body(axum::body::Body::empty()).unwrap();
            slow.push(tokio::spawn(on.router.clone().oneshot(request)));
            on.gate.arrived.acquire().await.unwrap().forget();
        }
        let path = if id_changes { "/cycle" } else { "/logout" };
        assert!(client.get(&a, path).await.status.is_success());
        for on in on {
            on.gate.go.add_permits(1);
        }
        for slow in slow {
            let answer = slow.await.unwrap().unwrap();
            assert!(!answer.headers().contains_key("set-cookie"), "outage: {outage}");
        }
        a.proxy.set(Fault::Pass).await;
        a.recovers().await;
        assert!(!exists(&server, &record).await, "outage: {outage}, id changes: {id_changes}");
    }
}

#[tokio::test]
async fn logged_out_by_id_alone_in_an_outage() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let client = Client::logged_in(&a, "alice").await;
    a.proxy.set(Fault::Refuse).await;
    a.knows_the_outage().await;
    let answer = client.clone().without(SD).get(&a, "/logout").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(client.status(&a, "/me").await, StatusCode::UNAUTHORIZED);
    a.proxy.set(Fault::Pass).await;
    a.recovers().await;
    assert_eq!(client.status(&b, "/me").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_stranger_who_logs_out_what_he_made_up_pushes_out_nobody() {
    let server = RedisServer::start().await;
    let a = Instance::with(&server, |redis| {
        let store = SessionStore::builder(redis, keys()).with_capacity(50).build();
        SessionLayer::from_store(&store).with_stateless_keys(["visits"])
    })
    .await;
    let client = Client::logged_in(&a, "alice").await;
    let logged_out = Client::logged_in(&a, "bob").await;
    a.proxy.set(Fault::Refuse).await;
    a.knows_the_outage().await;
    assert_eq!(logged_out.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    let mut refused = 0;
    for n in 0..200_u32 {
        let mut stranger = Client::default();
        stranger.jar.insert(SID.into(), format!("{n:0>21}A"));
        match stranger.status(&a, "/logout").await {
            StatusCode::NO_CONTENT => {}
            status => {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 150, "more than can be noted");
    assert_eq!(client.status(&a, "/me").await, StatusCode::OK, "nobody else is harmed");
    assert_eq!(logged_out.status(&a, "/me").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_a_stranger_makes_up_ends_when_redis_has_judged_it() {
    let server = RedisServer::start().await;
    let start = || {
        Instance::with(&server, |redis| {
            let store = SessionStore::builder(redis, keys()).with_capacity(50).build();
            SessionLayer::from_store(&store).with_stateless_keys(["visits"])
        })
    };
    let (a, b) = (start().await, start().await);
    for (outage, is_emptied) in [(1, false), (2, false), (3, true), (4, false)] {
        let client = Client::logged_in(&a, "alice").await;
        if is_emptied {
            server.kill();
        } else {
            a.proxy.set(Fault::Refuse).await;
        }
        a.knows_the_outage().await;
        let id_only = client.clone().without(SD);
        assert_eq!(id_only.status(&a, "/logout").await, StatusCode::NO_CONTENT, "{outage}");
        for n in 0..80_u32 {
            let mut stranger = Client::default();
            stranger.jar.insert(SID.into(), format!("{n:0>21}A"));
            stranger.status(&a, "/logout").await;
        }
        if is_emptied {
            b.knows_the_outage().await;
            server.restart_empty().await;
        }
        a.proxy.set(Fault::Pass).await;
        a.recovers().await;
        b.recovers().await;
        for on in [&a, &b, &start().await] {
            assert_eq!(client.status(on, "/me").await, StatusCode::UNAUTHORIZED, "{outage}");
        }
        let left: Vec<String> = server.query(&["KEYS", "*:gone"]).await.unwrap();
        let mut short = 0;
        for tombstone in &left {
            let stands: u64 = server.query(&["PTTL", tombstone]).await.unwrap();
            short += usize::from(stands <= 61 * 60 * 1_000);
        }
        // After a loss nobody can tell what was made up: but no longer than a copy could come back.
        // The two of before are told again.
        let expected = if is_emptied { (52, 50) } else { (1, 0) };
        assert_eq!((left.len(), short), expected, "{outage}");
        for tombstone in &left {
            server.cli(&["DEL", tombstone]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn at_the_bound_a_cutoff_is_raised_instead_of_a_logout_being_dropped() {
    let server = RedisServer::start().await;
    let a = Instance::with(&server, |redis| {
        let store = SessionStore::builder(redis, keys()).with_capacity(5).build();
        SessionLayer::from_store(&store).with_stateless_keys(["visits"])
    })
    .await;
    let mut clients = Vec::new();
    for n in 0..12 {
        clients.push(Client::logged_in(&a, &format!("user{n}")).await);
    }
    a.proxy.set(Fault::Refuse).await;
    a.knows_the_outage().await;
    for client in &clients[..10] {
        assert_eq!(client.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    }
    for client in &clients[..10] {
        let status = client.status(&a, "/me").await;
        assert!(
            status == StatusCode::UNAUTHORIZED || status == StatusCode::SERVICE_UNAVAILABLE,
            "{status}"
        );
    }
    // Whoever was verified before cannot be told from one that was forgotten; who begins now can.
    assert_eq!(clients[11].status(&a, "/me").await, StatusCode::SERVICE_UNAVAILABLE);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut new = Client::default();
    assert_eq!(new.get(&a, "/login?value=new").await.status, StatusCode::OK);
    assert_eq!(new.get(&a, "/me").await.status, StatusCode::OK);
    a.proxy.set(Fault::Pass).await;
    a.recovers().await;
    // Redis does not know of those that were forgotten: who was not seen since cannot be told from
    // them.
    for client in &clients {
        assert_eq!(client.status(&a, "/me").await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(new.get(&a, "/me").await.json()["session"], "stored");
}

#[tokio::test]
async fn a_logout_whose_answer_was_lost_is_pushed_without_an_outage() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let client = Client::logged_in(&a, "alice").await;
    let record = record(&server).await;
    let error = "NOPERM this user has no permissions to run the 'evalsha' command".to_owned();
    a.proxy.set(Fault::ErrorReplyTo { command: "EVALSHA".into(), error }).await;
    assert_eq!(client.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    assert_eq!(client.status(&a, "/me").await, StatusCode::UNAUTHORIZED);
    assert!(exists(&server, &record).await);
    a.proxy.set(Fault::Pass).await;
    let gone = eventually(PATIENCE, || async { !exists(&server, &record).await });
    assert!(gone.await, "it was never pushed");
    assert_eq!(a.monitor().status().outages, 0);
}

#[tokio::test]
async fn what_has_expired_is_gone_in_an_outage_too() {
    let server = RedisServer::start().await;
    let second = Duration::from_secs(1);
    let a = Instance::with(&server, |redis| {
        SessionLayer::new(redis, keys())
            .with_stateless_keys(["visits"])
            .with_expiry(Expiry::new(second * 2, second * 3))
    })
    .await;
    let client = Client::logged_in(&a, "alice").await;
    a.proxy.set(Fault::Refuse).await;
    a.knows_the_outage().await;
    assert_eq!(client.status(&a, "/peek").await, StatusCode::OK);
    let ended = eventually(PATIENCE, || async {
        client.status(&a, "/peek").await == StatusCode::UNAUTHORIZED
    });
    assert!(ended.await);
    a.proxy.set(Fault::Pass).await;
    a.recovers().await;
    assert_eq!(client.status(&a, "/peek").await, StatusCode::UNAUTHORIZED);
}
