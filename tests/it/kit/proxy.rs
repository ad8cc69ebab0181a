//! What the proxy passes on, counts and follows.

use std::time::Instant;

use super::{LONG, assert_answers, assert_lost, assert_refused, connect, connect_within, proxied};
use crate::support::{RedisServer, eventually};

#[tokio::test]
async fn proxy_passes_and_counts() {
    let (server, proxy) = proxied().await;
    let before = Instant::now();
    let mut first = connect(&proxy.url()).await;
    let mut second = connect(&proxy.url()).await;
    assert_answers(&mut first).await;
    assert_answers(&mut second).await;
    assert_eq!((proxy.connections(), proxy.accepted()), (2, 2));
    assert!(proxy.accept_times().iter().all(|at| *at >= before));
    let value = "x".repeat(5_000_000);
    let mut set = redis::cmd("SET");
    set.arg("key").arg(&value).exec_async(&mut first).await.expect("SET");
    let got: String = redis::cmd("GET").arg("key").query_async(&mut first).await.expect("GET");
    assert!(got == value, "{} bytes came back", got.len());

    proxy.cut_all().await;
    assert_eq!((proxy.connections(), proxy.accepted()), (0, 2));
    assert_lost(&mut first).await;
    assert_lost(&mut second).await;
    let third = connect(&proxy.url()).await;
    assert_eq!(proxy.connections(), 1);
    drop(third);
    assert!(eventually(LONG, || async { proxy.connections() == 0 }).await);
    assert!(eventually(LONG, || async { server.connected_clients().await == 0 }).await);
}

#[tokio::test]
async fn proxy_passes_on_a_dead_server() {
    let (server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    server.kill();
    assert_lost(&mut connection).await;
    assert!(connect_within(&proxy.url(), LONG).await.is_err());
    server.restart().await;
    assert_answers(&mut connect(&proxy.url()).await).await;
}

#[tokio::test]
async fn proxy_follows_a_new_upstream() {
    let (_first, proxy) = proxied().await;
    let second = RedisServer::start().await;
    let mut old = connect(&proxy.url()).await;
    proxy.set_upstream(second.addr());
    let mut new = connect(&proxy.url()).await;
    assert_answers(&mut old).await;
    assert_eq!(second.commands_processed("ping").await, 0);
    assert_answers(&mut new).await;
    assert_eq!(second.commands_processed("ping").await, 1);
}

#[tokio::test]
async fn dropped_proxy_is_gone() {
    let (_server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    let url = proxy.url();
    drop(proxy);
    assert_lost(&mut connection).await;
    assert_refused(&url).await;
}
