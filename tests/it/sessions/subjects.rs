//! All sessions of one user.

use evenkeel::Source;
use http::StatusCode;

use super::{
    app::Instance,
    client::Client,
    support::{Fault, RedisServer},
};

#[tokio::test]
async fn list_and_end_one_of_them() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let phone = Client::logged_in(&a, "alice").await;
    let laptop = Client::logged_in(&a, "alice").await;
    let _other = Client::logged_in(&a, "bob").await;
    let list = a.store.list("alice").await.unwrap();
    assert_eq!(list.len(), 2);
    assert!(list[0].expires > list[0].created && list[0].last_used >= list[1].last_used);
    let ended = a.store.revoke(list[0].name).await;
    assert_eq!(ended.source, Source::Redis);
    let left = [phone.status(&a, "/me").await, laptop.status(&a, "/me").await];
    assert_eq!(left.iter().filter(|status| **status == StatusCode::OK).count(), 1);
    assert_eq!(a.store.list("alice").await.unwrap().len(), 1);
    assert_eq!(a.store.list("nobody").await.unwrap().len(), 0);
}

#[tokio::test]
async fn nothing_of_one_user_is_left_to_the_next() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let mut visitor = Client::default();
    visitor.get(&a, "/set?key=a&value=basket").await;
    visitor.get(&b, "/login?value=alice").await;
    assert_eq!(visitor.read(&a, "a").await, "basket", "from nobody to somebody");
    visitor.get(&a, "/become?value=alice2").await;
    assert_eq!(visitor.read(&b, "a").await, "basket", "as asked for");

    let mut client = Client::logged_in(&a, "root").await;
    client.get(&a, "/set?key=a&value=superuser").await;
    client.get(&a, "/set?key=undeclared&value=superuser").await;
    let (before, mut offline) = (client.clone(), Client::logged_in(&a, "root").await);
    offline.get(&a, "/set?key=a&value=superuser").await;
    offline.get(&a, "/set?key=undeclared&value=superuser").await;
    client.get(&b, "/login?value=bob").await;
    for on in [&a, &b] {
        assert_eq!(client.peek(on, "/peek").await.json()["user"], "bob");
        assert_eq!(client.read(on, "a").await, serde_json::Value::Null);
        assert_eq!(client.read(on, "undeclared").await, serde_json::Value::Null);
        assert_eq!(before.status(on, "/me").await, StatusCode::UNAUTHORIZED);
    }
    for on in [&a, &b] {
        on.proxy.set(Fault::Refuse).await;
        on.knows_the_outage().await;
    }
    assert_eq!(client.read(&a, "a").await, serde_json::Value::Null);
    let answer = offline.get(&b, "/login?value=bob").await;
    assert_eq!(answer.json()["session"], "stateless");
    assert_eq!(offline.read(&b, "a").await, serde_json::Value::Null);
    for on in [&a, &b] {
        on.proxy.set(Fault::Pass).await;
        on.recovers().await;
    }
    for on in [&a, &b, &Instance::start(&server).await] {
        assert_eq!(offline.read(on, "a").await, serde_json::Value::Null);
        assert_eq!(offline.read(on, "undeclared").await, serde_json::Value::Null);
    }
}

#[tokio::test]
async fn log_me_out_everywhere() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let mut sessions = Vec::new();
    for n in 0..5 {
        let mut client = Client::logged_in(&a, "alice").await;
        if n % 2 == 0 {
            client.get(&b, "/cycle").await;
        }
        sessions.push(client);
    }
    let other = Client::logged_in(&a, "bob").await;
    let ended = a.store.revoke_all("alice").await;
    assert_eq!((ended.value, ended.source), (5, Source::Redis));
    for on in [&a, &b] {
        for session in &sessions {
            assert_eq!(session.status(on, "/me").await, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(other.status(on, "/me").await, StatusCode::OK);
    }
    let again = Client::logged_in(&b, "alice").await;
    assert_eq!(again.status(&a, "/me").await, StatusCode::OK);
}

#[tokio::test]
async fn log_me_out_everywhere_in_an_outage() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let sessions = [Client::logged_in(&a, "alice").await, Client::logged_in(&b, "alice").await];
    for on in [&a, &b] {
        on.proxy.set(Fault::Refuse).await;
        on.knows_the_outage().await;
    }
    assert!(a.store.list("alice").await.unwrap_err().is_unavailable());
    assert_eq!(a.store.revoke_all("alice").await.source, Source::Memory);
    for session in &sessions {
        assert_eq!(session.status(&a, "/me").await, StatusCode::UNAUTHORIZED, "on A at once");
    }
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let mut again = Client::default();
    again.get(&a, "/login?value=alice").await;
    assert_eq!(again.get(&a, "/me").await.status, StatusCode::OK, "who logs in anew is in");
    for on in [&a, &b] {
        on.proxy.set(Fault::Pass).await;
        on.recovers().await;
    }
    for session in &sessions {
        assert_eq!(session.status(&b, "/me").await, StatusCode::UNAUTHORIZED, "on B after it");
    }
    assert_eq!(again.get(&b, "/me").await.status, StatusCode::OK);
}

#[tokio::test]
async fn log_me_out_everywhere_holds_when_redis_comes_back_empty() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let session = Client::logged_in(&b, "alice").await;
    let mut bystander = Client::logged_in(&b, "bob").await;
    assert_eq!(a.store.revoke_all("alice").await.value, 1);
    server.kill();
    a.knows_the_outage().await;
    b.knows_the_outage().await;
    server.restart_empty().await;
    a.recovers().await;
    b.recovers().await;
    for on in [&b, &a] {
        assert_eq!(session.status(on, "/me").await, StatusCode::UNAUTHORIZED);
        assert_eq!(bystander.get(on, "/me").await.status, StatusCode::OK);
    }
}
