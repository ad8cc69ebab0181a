//! While Redis is there.

use evenkeel::{layer::SessionLayer, store::session::SessionKeys};
use http::{StatusCode, header};
use serde_json::json;

use super::{
    app::{Instance, key, keys},
    client::{Client, SD, SID},
    support::RedisServer,
};

#[tokio::test]
async fn log_in_be_served_write_and_log_out() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let mut client = Client::logged_in(&a, "alice").await;
    for visits in 1..=10 {
        let on = if visits % 2 == 0 { &a } else { &b };
        let answer = client.get(on, "/me").await;
        let expected = json!({ "user": "alice", "visits": visits, "session": "stored" });
        assert_eq!(answer.json(), expected);
    }
    let kept = client.clone();
    assert_eq!(client.get(&b, "/logout").await.status, StatusCode::NO_CONTENT);
    assert!(client.jar.is_empty());
    for on in [&a, &b] {
        assert_eq!(client.status(on, "/me").await, StatusCode::UNAUTHORIZED);
        assert_eq!(kept.status(on, "/me").await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn cookies_are_set_as_browsers_want_them_and_kept_from_caches() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let answer = Client::default().peek(&a, "/login?value=alice").await;
    let lines: Vec<_> = answer.headers.get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(lines.len(), 2);
    for (line, name) in lines.iter().zip([SID, SD]) {
        let line = line.to_str().unwrap();
        assert!(line.starts_with(&format!("{name}=")), "{line}");
        assert!(
            line.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=604800"),
            "{line}"
        );
    }
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-cache=\"Set-Cookie\"");
    assert_eq!(answer.headers[header::VARY], "Cookie");
}

#[tokio::test]
async fn lazy_an_untouched_session_is_not_asked_for_and_a_read_is_one_command() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let client = Client::logged_in(&a, "alice").await;
    let commands = async |name| server.commands_processed(name).await;
    // Of the application: the server's own number has those of the monitor in it.
    let gets = || a.metric("redis_command_duration_seconds_count{command=\"GET\",outcome=\"ok\"}");
    let reads = gets();
    let scripts = commands("evalsha").await + commands("eval").await;
    for path in ["/untouched", "/untouched"] {
        assert!(client.peek(&a, path).await.sets_nothing());
    }
    for path in ["/me", "/peek", "/get?key=a"] {
        assert!(Client::default().peek(&a, path).await.sets_nothing());
    }
    assert_eq!(gets(), reads, "anonymous or untouched: no command");
    for _ in 0..5 {
        assert!(client.peek(&a, "/peek").await.sets_nothing(), "nothing has changed");
    }
    assert_eq!(gets(), reads + 5, "a read is one command");
    assert_eq!(commands("evalsha").await + commands("eval").await, scripts, "and no write");
}

#[tokio::test]
async fn the_id_stands_in_no_key_and_every_key_ends() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let mut client = Client::logged_in(&a, "alice@example.org").await;
    client.get(&a, "/set?key=a&value=1").await;
    client.get(&a, "/cycle").await;
    let keys: Vec<String> = server.query(&["KEYS", "*:session*"]).await.unwrap();
    assert!(keys.len() >= 3, "{keys:?}");
    for key in keys {
        assert!(!key.contains(&client.jar[SID]) && !key.contains("alice"), "{key}");
        let ttl: i64 = server.query(&["PTTL", &key]).await.unwrap();
        assert!(ttl > 0, "{key} would stay for ever");
    }
}

#[tokio::test]
async fn a_new_id_at_login_and_at_a_change_of_privileges_and_the_old_one_dies() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let mut client = Client::default();
    client.get(&a, "/set?key=a&value=basket").await;
    for (path, kept) in [
        ("/login?value=alice", json!("basket")),
        ("/cycle", json!("basket")),
        // Another user takes over nothing.
        ("/login?value=bob", json!(null)),
    ] {
        let before = client.clone();
        client.get(&a, path).await;
        assert_ne!(client.jar[SID], before.jar[SID], "{path}");
        assert_eq!(before.read(&a, "a").await, json!(null), "{path}: the old id lives");
        assert_eq!(client.read(&a, "a").await, kept, "{path}");
    }
    let before = client.clone();
    client.get(&a, "/login?value=bob").await;
    assert_eq!(client.jar[SID], before.jar[SID], "the same user is no other session");
}

#[tokio::test]
async fn an_id_that_the_client_made_up_is_never_adopted() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let mut client = Client::default();
    client.jar.insert(SID.into(), "AAAAAAAAAAAAAAAAAAAAAA".into());
    client.get(&a, "/set?key=a&value=1").await;
    assert_ne!(client.jar[SID], "AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(client.read(&a, "a").await, json!("1"));
}

#[tokio::test]
async fn two_requests_at_once_lose_no_unrelated_key() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    let slow = tokio::spawn({
        let (client, router) = (client.clone(), a.router.clone());
        let request = format!("{SID}={}; {SD}={}", client.jar[SID], client.jar[SD]);
        async move {
            use tower::ServiceExt;
            let request = http::Request::builder().uri("/slow").header("cookie", request);
            router.oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap()
        }
    });
    a.gate.arrived.acquire().await.unwrap().forget();
    client.get(&a, "/set?key=b&value=fast").await;
    client.get(&a, "/set?key=a&value=fast").await;
    a.gate.go.add_permits(1);
    assert_eq!(slow.await.unwrap().status(), StatusCode::OK);
    assert_eq!(client.read(&a, "b").await, json!("fast"));
    assert_eq!(client.read(&a, "a").await, json!("fast"), "whoever was first has the key");
    assert_eq!(a.metric("session_operations_total{operation=\"change\",outcome=\"conflict\"}"), 1);
}

#[tokio::test]
async fn forty_requests_at_once_lose_no_key() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let client = Client::logged_in(&a, "alice").await;
    let set = async |n: usize| {
        let on = if n.is_multiple_of(2) { &a } else { &b };
        client.status(on, &format!("/set?key=k{n}&value={n}")).await
    };
    let all = futures_util::future::join_all((0..40).map(set)).await;
    assert!(all.iter().all(|status| *status == StatusCode::OK), "{all:?}");
    for n in 0..40 {
        assert_eq!(client.read(&a, &format!("k{n}")).await, json!(n.to_string()));
    }
}

#[tokio::test]
async fn a_stolen_snapshot_is_worth_nothing_while_redis_is_up() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    let stolen = client.clone();
    let alone = stolen.clone().without(SID);
    assert_eq!(alone.status(&a, "/me").await, StatusCode::UNAUTHORIZED);
    let mut thief = Client::logged_in(&a, "mallory").await;
    thief.jar.insert(SD.into(), stolen.jar[SD].clone());
    assert_eq!(thief.peek(&a, "/peek").await.json()["user"], "mallory");
    client.get(&a, "/logout").await;
    assert_eq!(stolen.status(&a, "/me").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn key_rotation_reseals_once() {
    let server = RedisServer::start().await;
    let ring = |keys: &[u8]| {
        let keys: Vec<_> = keys.iter().map(|number| key(*number)).collect();
        SessionKeys::parse(&keys.join(",")).unwrap()
    };
    let old = Instance::with(&server, |redis| SessionLayer::new(redis, ring(&[1]))).await;
    let both = Instance::with(&server, |redis| SessionLayer::new(redis, ring(&[2, 1]))).await;
    let mut client = Client::logged_in(&old, "alice").await;
    let sealed = client.jar[SD].clone();
    let answer = client.get(&both, "/peek").await;
    assert_eq!(answer.set_cookies().len(), 1, "only the snapshot");
    assert_ne!(client.jar[SD], sealed);
    assert!(client.get(&both, "/peek").await.sets_nothing(), "once");
    // An instance that does not know the new key yet leaves it alone.
    let answer = client.get(&old, "/peek").await;
    assert!(answer.status.is_success() && answer.sets_nothing());
}

#[tokio::test]
async fn the_plain_form_for_servers_without_tls() {
    let server = RedisServer::start().await;
    let a =
        Instance::with(&server, |redis| SessionLayer::new(redis, keys()).with_insecure_cookies())
            .await;
    let answer = Client::default().peek(&a, "/login?value=alice").await;
    let names: Vec<_> = answer.set_cookies().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["sid", "sd"]);
    assert!(!format!("{:?}", answer.headers).contains("Secure"));
}
