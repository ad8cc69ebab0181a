//! Redis comes back empty, or older than it was.

use http::StatusCode;
use serde_json::json;

use super::{
    app::{Instance, PATIENCE},
    client::{Client, SD},
    support::{RedisServer, eventually},
};

async fn two(server: &RedisServer) -> (Instance, Instance) {
    (Instance::start(server).await, Instance::start(server).await)
}

async fn record(server: &RedisServer) -> Option<String> {
    let keys: Vec<String> = server.query(&["KEYS", "evenkeel:session:{*}"]).await.unwrap();
    keys.into_iter().find(|key| key.ends_with('}'))
}

#[tokio::test]
async fn redis_empty_snapshot_holders_go_on_logged_out_ones_stay_out_id_only_ones_get_401() {
    let server = RedisServer::start().await;
    let (a, b) = two(&server).await;
    let mut holder = Client::logged_in(&a, "alice").await;
    holder.get(&a, "/me").await;
    holder.get(&a, "/set?key=undeclared&value=1").await;
    let id_only = Client::logged_in(&a, "bob").await.without(SD);
    let logged_out_before = Client::logged_in(&a, "carol").await;
    let logged_out_meanwhile = Client::logged_in(&a, "dave").await;
    assert_eq!(logged_out_before.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    server.kill();
    a.knows_the_outage().await;
    b.knows_the_outage().await;
    assert_eq!(logged_out_meanwhile.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    server.restart_empty().await;
    a.recovers().await;
    b.recovers().await;
    for on in [&b, &a] {
        let answer = holder.get(on, "/peek").await;
        assert_eq!(answer.json(), json!({ "user": "alice", "session": "stored" }));
        assert_eq!(id_only.status(on, "/me").await, StatusCode::UNAUTHORIZED);
        assert_eq!(logged_out_before.status(on, "/me").await, StatusCode::UNAUTHORIZED);
        assert_eq!(logged_out_meanwhile.status(on, "/me").await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(holder.get(&a, "/me").await.json()["visits"], 2);
    assert!(holder.get(&b, "/peek").await.sets_nothing(), "all is as it was");
}

/// The one who logs out shows the id alone, so that nothing vouches for the session, and Redis comes
/// back without it: only a tombstone tells it from an id that was made up.
#[tokio::test]
async fn logged_out_by_the_id_alone_and_lost_twice() {
    let server = RedisServer::start().await;
    let (a, b) = two(&server).await;
    let client = Client::logged_in(&a, "alice").await;
    server.kill();
    a.knows_the_outage().await;
    b.knows_the_outage().await;
    let id_only = client.clone().without(SD);
    assert_eq!(id_only.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    for _ in 0..2 {
        server.restart_empty().await;
        a.recovers().await;
        b.recovers().await;
        for on in [&b, &a] {
            assert_eq!(client.status(on, "/me").await, StatusCode::UNAUTHORIZED);
        }
        server.kill();
        a.knows_the_outage().await;
        b.knows_the_outage().await;
    }
    assert_eq!(client.status(&a, "/me").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn redis_emptied_under_live_connections() {
    let server = RedisServer::start().await;
    let (a, b) = two(&server).await;
    let mut holder = Client::logged_in(&a, "alice").await;
    let id_only = Client::logged_in(&b, "bob").await.without(SD);
    let logged_out = Client::logged_in(&a, "carol").await;
    assert_eq!(logged_out.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    server.flushall().await;
    // Never a 401 for who has a snapshot, not even for the first that comes.
    for visits in 1..=6 {
        let answer = holder.get(if visits % 2 == 0 { &a } else { &b }, "/me").await;
        assert_eq!((answer.status, &answer.json()["visits"]), (StatusCode::OK, &json!(visits)));
    }
    let stored = eventually(PATIENCE, || async {
        holder.peek(&a, "/peek").await.json()["session"] == "stored"
            && holder.peek(&b, "/peek").await.json()["session"] == "stored"
    });
    assert!(stored.await);
    for on in [&a, &b] {
        assert_eq!(id_only.status(on, "/me").await, StatusCode::UNAUTHORIZED);
        assert_eq!(logged_out.status(on, "/me").await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn emptied_between_the_read_and_the_write_of_one_request() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let client = Client::logged_in(&a, "alice").await;
    let slow = tokio::spawn({
        use super::client::SID;
        use tower::ServiceExt;
        let cookies = format!("{SID}={}; {SD}={}", client.jar[SID], client.jar[SD]);
        let request = http::Request::builder().uri("/slow").header("cookie", cookies);
        a.router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap())
    });
    a.gate.arrived.acquire().await.unwrap().forget();
    server.flushall().await;
    a.gate.go.add_permits(1);
    let answer = slow.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    let value = cookie.split(';').next().unwrap().split_once('=').unwrap().1;
    let mut client = client;
    client.jar.insert(SD.into(), value.to_owned());
    a.recovers().await;
    let kept =
        eventually(PATIENCE, || async { client.peek(&a, "/get?key=a").await.body == "\"slow\"" });
    assert!(kept.await, "the write was lost");
}

#[tokio::test]
async fn key_deleted_in_the_same_epoch_is_401() {
    let server = RedisServer::start().await;
    let (a, b) = two(&server).await;
    let client = Client::logged_in(&a, "alice").await;
    let record = record(&server).await.unwrap();
    server.cli(&["DEL", &record]).await.unwrap();
    for on in [&a, &b] {
        let answer = client.peek(on, "/me").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(on.monitor().is_available());
    }
    assert!(self::record(&server).await.is_none(), "nothing was brought back");
}

#[tokio::test]
async fn deleted_during_an_outage_that_kept_the_data_is_401() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let client = Client::logged_in(&a, "alice").await;
    a.proxy.set(super::support::Fault::Refuse).await;
    a.knows_the_outage().await;
    assert_eq!(client.status(&a, "/peek").await, StatusCode::OK);
    let record = record(&server).await.unwrap();
    server.cli(&["DEL", &record]).await.unwrap();
    a.proxy.set(super::support::Fault::Pass).await;
    a.recovers().await;
    assert_eq!(client.status(&a, "/peek").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn redis_from_an_older_dump_nothing_seen_here_comes_back() {
    let server = RedisServer::builder().persistent(true).start().await;
    let (a, b) = two(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    client.get(&a, "/set?key=a&value=older").await;
    client.get(&a, "/set?key=b&value=older").await;
    let id_only = Client::logged_in(&a, "bob").await;
    let logged_out = Client::logged_in(&a, "carol").await;
    let dump = server.save_dump().await;
    client.get(&a, "/set?key=a&value=newer").await;
    client.get(&b, "/remove?key=b").await;
    let mut bob = id_only.clone();
    bob.get(&a, "/set?key=a&value=newer").await;
    assert_eq!(logged_out.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    let mut later = Client::logged_in(&a, "erin").await;
    server.kill();
    a.knows_the_outage().await;
    b.knows_the_outage().await;
    server.restart_from(&dump).await;
    a.recovers().await;
    b.recovers().await;
    assert_eq!(logged_out.status(&a, "/me").await, StatusCode::UNAUTHORIZED);
    assert_eq!(logged_out.status(&b, "/me").await, StatusCode::UNAUTHORIZED);
    // Without a snapshot nobody knows what was newer: nothing older is served in its place.
    assert_eq!(id_only.clone().without(SD).status(&a, "/me").await, StatusCode::UNAUTHORIZED);
    for on in [&a, &b] {
        assert_eq!(client.get(on, "/get?key=a").await.json(), json!("newer"));
        assert_eq!(client.get(on, "/get?key=b").await.json(), json!(null));
        assert_eq!(later.get(on, "/peek").await.json()["user"], "erin", "it began after the dump");
    }
}

#[tokio::test]
async fn restarted_with_its_data_nothing_changes() {
    let server = RedisServer::builder().persistent(true).start().await;
    let (a, b) = two(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    client.get(&a, "/set?key=undeclared&value=1").await;
    server.shutdown().await;
    a.knows_the_outage().await;
    b.knows_the_outage().await;
    server.restart().await;
    a.recovers().await;
    b.recovers().await;
    for on in [&a, &b] {
        assert_eq!(client.get(on, "/get?key=undeclared").await.json(), json!("1"));
        assert_eq!(client.get(on, "/peek").await.json()["session"], "stored");
    }
}
