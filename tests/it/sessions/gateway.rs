//! The routes of `examples/gateway`, and a client that keeps cookies while Redis is stopped, hung,
//! emptied and restarted.

use std::path::Path;

use axum::middleware::map_response;
use evenkeel::layer::SessionLayer;
use http::{StatusCode, header};
use serde_json::json;

use super::{
    app::{Instance, PATIENCE, keys},
    client::Client,
    database::Database,
    login_guard::{self, LoginGuard},
    support::{RedisServer, eventually},
};

#[path = "../../../examples/gateway/errors.rs"]
#[allow(dead_code)]
mod errors;
#[path = "../../../examples/gateway/sessions.rs"]
mod sessions;

const ALICE: &str = r#"{"user":"alice","password":"correct-horse"}"#;

async fn gateway(server: &RedisServer) -> Instance {
    let mut layer = None;
    let mut guarded = None;
    let database = Database::open(Path::new(":memory:")).await.unwrap();
    let instance = Instance::with(server, |redis| {
        guarded = Some(redis.clone());
        let sessions =
            SessionLayer::new(redis, keys()).with_stateless_keys(sessions::STATELESS_KEYS);
        layer.insert(sessions).clone()
    })
    .await;
    let guard = LoginGuard::new(&guarded.unwrap(), &database).await.unwrap();
    let router = sessions::routes(guard).layer(layer.unwrap()).layer(map_response(errors::as_json));
    Instance { router, ..instance }
}

/// Served, with one more visit, as soon as it is stored again.
async fn is_stored_again(client: &mut Client, on: &Instance, visits: &mut u64) {
    for _ in 0..1_000 {
        on.monitor().request_probe();
        *visits += 1;
        let answer = client.get(on, "/me").await;
        assert_eq!((answer.status, &answer.json()["visits"]), (StatusCode::OK, &json!(visits)));
        if answer.json()["session"] == "stored" {
            return;
        }
        tokio::time::sleep(PATIENCE / 1_000).await;
    }
    panic!("never stored again: {:?}", on.monitor().status());
}

#[tokio::test]
async fn stopped_hung_emptied_and_restarted_underneath() {
    let server = RedisServer::start().await;
    let on = gateway(&server).await;
    let mut client = Client::default();
    let answer = client.post(&on, "/login", ALICE).await;
    assert_eq!(answer.json(), json!({ "user": "alice", "session": "stored" }));
    let mut visits = 0;
    is_stored_again(&mut client, &on, &mut visits).await;

    for fault in ["stopped", "hung", "emptied", "restarted"] {
        match fault {
            "stopped" => server.kill(),
            "hung" => server.freeze(),
            "emptied" => server.flushall().await,
            _ => server.restart_empty().await,
        }
        for _ in 0..5 {
            visits += 1;
            let answer = client.get(&on, "/me").await;
            assert_eq!(
                (answer.status, &answer.json()["visits"]),
                (StatusCode::OK, &json!(visits)),
                "{fault}"
            );
        }
        // Out, and in again, in the middle of it.
        let kept = client.clone();
        assert_eq!(client.post(&on, "/logout", "").await.status, StatusCode::NO_CONTENT, "{fault}");
        assert!(client.jar.is_empty());
        assert_eq!(kept.status(&on, "/me").await, StatusCode::UNAUTHORIZED, "{fault}");
        assert_eq!(client.post(&on, "/login", ALICE).await.status, StatusCode::OK, "{fault}");
        visits = 0;
        match fault {
            "stopped" => server.restart().await,
            "hung" => server.thaw(),
            _ => {}
        }
        is_stored_again(&mut client, &on, &mut visits).await;
        assert_eq!(kept.status(&on, "/me").await, StatusCode::UNAUTHORIZED, "after {fault}");
    }
    assert_eq!(client.post(&on, "/logout", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.get(&on, "/me").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn who_logs_in_needs_no_session_that_can_be_judged() {
    let server = RedisServer::start().await;
    let on = gateway(&server).await;
    let mut client = Client::default();
    client.post(&on, "/login", ALICE).await;
    client = client.without(super::client::SD);
    server.kill();
    on.knows_the_outage().await;
    let answer = client.get(&on, "/me").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key(header::RETRY_AFTER) && answer.sets_nothing());
    let answer = client.post(&on, "/login", ALICE).await;
    assert_eq!(answer.json(), json!({ "user": "alice", "session": "stateless" }));
    assert_eq!(client.get(&on, "/me").await.json()["visits"], 1);
}

#[tokio::test]
async fn bad_input_is_a_4xx_that_says_what_is_wrong() {
    let server = RedisServer::start().await;
    let on = gateway(&server).await;
    let long = format!(r#"{{"user":"{}","password":"correct-horse"}}"#, "x".repeat(257));
    for (body, status) in [
        (r#"{"user":"alice","password":"guess"}"#, 401),
        (r#"{"user":"alice","password":"#, 400),
        (r#"{"user":1,"password":"correct-horse"}"#, 422),
        (r#"{"user":"alice"}"#, 422),
        (r#"{"user":"","password":"correct-horse"}"#, 422),
        (long.as_str(), 422),
        ("", 400),
    ] {
        let answer = Client::default().post(&on, "/login", body).await;
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.json()["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        assert!(answer.sets_nothing());
    }
    let stored: Vec<String> = server.query(&["KEYS", "*session*"]).await.unwrap();
    assert!(stored.is_empty(), "{stored:?}");
    let known = eventually(PATIENCE, || async { on.monitor().is_available() });
    assert!(known.await);
}

#[tokio::test]
async fn five_wrong_passwords_lock_a_user_out_also_while_redis_is_away() {
    const WRONG: &str = r#"{"user":"alice","password":"tr0ub4dor"}"#;
    let server = RedisServer::start().await;
    let on = gateway(&server).await;
    let mut client = Client::default();
    assert!(eventually(PATIENCE, || async { on.monitor().is_available() }).await);
    for _ in 0..3 {
        assert_eq!(client.post(&on, "/login", WRONG).await.status, StatusCode::UNAUTHORIZED);
    }
    server.kill();
    for _ in 0..2 {
        assert_eq!(client.post(&on, "/login", WRONG).await.status, StatusCode::UNAUTHORIZED);
    }
    let locked = client.post(&on, "/login", ALICE).await;
    assert_eq!(locked.status, StatusCode::LOCKED);
    assert!(locked.headers.contains_key(header::RETRY_AFTER));
    let other = r#"{"user":"bob","password":"correct-horse"}"#;
    assert_eq!(client.post(&on, "/login", other).await.status, StatusCode::OK);
    server.restart_empty().await;
    assert!(eventually(PATIENCE, || async { on.monitor().is_available() }).await);
    assert_eq!(client.post(&on, "/login", ALICE).await.status, StatusCode::LOCKED);
}
