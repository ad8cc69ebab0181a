//! A session that was put back from a copy is worth no more than that copy.

use std::time::Duration;

use evenkeel::layer::SessionLayer;
use http::{StatusCode, header};

use super::{
    app::{Instance, keys},
    client::Client,
    support::{Fault, RedisServer},
};

#[tokio::test]
async fn max_offline_age_holds_at_a_restore_as_it_does_in_the_outage() {
    const AGE: Duration = Duration::from_secs(1);
    let server = RedisServer::start().await;
    let start = || {
        Instance::with(&server, |redis| {
            SessionLayer::new(redis, keys())
                .with_stateless_keys(["visits"])
                .with_max_offline_age(AGE)
        })
    };
    let (a, b) = (start().await, start().await);
    let client = Client::logged_in(&a, "alice").await;
    let later = Client::logged_in(&a, "bob").await;
    tokio::time::sleep(AGE + Duration::from_millis(100)).await;
    server.kill();
    a.knows_the_outage().await;
    b.knows_the_outage().await;
    for on in [&a, &b] {
        assert_eq!(client.status(on, "/peek").await, StatusCode::SERVICE_UNAVAILABLE);
    }
    server.restart_empty().await;
    a.recovers().await;
    b.recovers().await;
    let new = start().await;
    for on in [&new, &b, &a] {
        for client in [&client, &later] {
            assert_eq!(client.status(on, "/peek").await, StatusCode::UNAUTHORIZED);
        }
    }
}

#[tokio::test]
async fn not_fresh_until_its_user_has_authenticated_again() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let mut clients = vec![Client::logged_in(&a, "alice").await];
    clients.push(Client::logged_in(&a, "alice").await);
    assert_eq!(clients[0].status(&b, "/fresh").await, StatusCode::OK);
    for on in [&a, &b] {
        on.proxy.set(Fault::Refuse).await;
        on.knows_the_outage().await;
    }
    let mut begun_without = Client::default();
    assert_eq!(begun_without.get(&a, "/login?value=alice").await.status, StatusCode::OK);
    clients.push(begun_without);
    server.restart_empty().await;
    for on in [&a, &b] {
        on.proxy.set(Fault::Pass).await;
        on.recovers().await;
    }
    let new = Instance::start(&server).await;
    for (client, again) in clients.iter_mut().zip(["/login?value=alice", "/renew", "/renew"]) {
        for on in [&b, &a, &new] {
            assert_eq!(client.peek(on, "/peek").await.json()["session"], "stored");
            let answer = client.peek(on, "/fresh").await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
            assert_eq!(answer.json()["error"], "Unauthorized");
            assert!(!answer.headers.contains_key(header::RETRY_AFTER));
            let removed = answer.set_cookies().into_iter().find(|(_, value)| value.is_empty());
            assert_eq!(removed, None, "the client keeps its cookies");
        }
        assert_eq!(client.get(&a, "/cycle").await.status, StatusCode::OK);
        assert_eq!(client.status(&b, "/fresh").await, StatusCode::UNAUTHORIZED, "a new id alone");
        let copied = client.clone();
        assert_eq!(client.get(&a, again).await.status, StatusCode::OK);
        for on in [&b, &a, &new] {
            assert_eq!(client.peek(on, "/fresh").await.body, "alice", "{again}");
            assert_eq!(copied.status(on, "/peek").await, StatusCode::UNAUTHORIZED, "{again}");
        }
    }
}
