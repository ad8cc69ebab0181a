//! What does not know HELLO is spoken to in RESP2, whatever its words; a refusal for other reasons
//! changes nothing.

use std::time::Duration;

use evenkeel::{
    health::Backoff,
    redis::{RedisConfig, RedisUrl},
};
use redis::cmd;

use super::{
    LONG, World,
    support::{Fault, FaultProxy, RedisServer},
};

fn refusing(command: &str, error: &str) -> Fault {
    Fault::ErrorReplyTo { command: command.into(), error: error.into() }
}

async fn behind(server: RedisServer, fault: Fault, user: &str, query: &str) -> World {
    let proxy = FaultProxy::in_front_of(&server).await;
    proxy.set(fault).await;
    let url: RedisUrl = format!("redis://{user}{}/{query}", proxy.addr()).parse().unwrap();
    let backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
    let health = super::world::health().with_backoff(backoff);
    World::behind(server, proxy, |_| RedisConfig::new(url).with_health(health))
}

async fn serves(world: &World) {
    assert!(world.monitor().wait_available(LONG).await, "{:?}", world.monitor());
    let stored = world.redis.query::<String>(cmd("SET").arg("key").arg(1)).await;
    assert_eq!(stored.unwrap(), "OK");
}

/// How many of the handle's connections speak RESP3.
async fn in_resp3(world: &World) -> usize {
    let clients: String = world.server.query(&["CLIENT", "LIST"]).await.unwrap();
    clients.lines().filter(|client| client.contains("resp=3")).count()
}

#[tokio::test]
async fn a_server_whose_hello_is_renamed() {
    let server = RedisServer::builder().arg("rename-command HELLO", "");
    let server = server.password("QX4-sesame").start().await;
    let world = behind(server, Fault::Pass, ":QX4-sesame@", "").await;
    serves(&world).await;
    // Its refusal repeats what was sent with HELLO.
    for line in world.logs.lines() {
        assert!(!format!("{line:?}").contains("QX4"), "{line:?}");
    }
    let wrong = FaultProxy::in_front_of(&world.server).await;
    let url: RedisUrl = format!("redis://:wrong@{}", wrong.addr()).parse().unwrap();
    let config = RedisConfig::new(url).with_health(super::world::health());
    let redis = evenkeel::redis::Redis::new(config).unwrap();
    let known = super::support::eventually(LONG, || async {
        let fault = redis.monitor().status().last_fault;
        fault.is_some_and(|(fault, _)| fault.to_string() == "credentials: WRONGPASS")
    });
    assert!(known.await, "{:?}", redis.monitor());
}

#[tokio::test]
async fn proxies_with_words_of_their_own() {
    for words in [
        "ERR unknown command 'HELLO'",
        "ERR unknown or unsupported command",
        "unsupported command 'hello'",
        "NOPROTO unsupported protocol version",
        "Error: Command is not allowed",
    ] {
        let server = RedisServer::start().await;
        let world = behind(server, refusing("HELLO", words), "", "").await;
        serves(&world).await;
        // A connection that is lost is found again.
        world.proxy.cut_all().await;
        let again = super::support::eventually(LONG, || async {
            world.redis.query::<String>(&cmd("PING")).await.is_ok()
        });
        assert!(again.await, "{words}: {:?}", world.monitor());
    }
}

#[tokio::test]
async fn a_refusal_of_the_credentials_or_for_a_while_is_none_of_hello() {
    for (words, fault) in [
        ("WRONGPASS invalid username-password pair or user is disabled.", "credentials: WRONGPASS"),
        (
            "NOAUTH HELLO must be called with the client already authenticated",
            "credentials: NOAUTH",
        ),
        ("NOPERM this user has no permissions to run the 'hello' command", "credentials: NOPERM"),
        ("LOADING Redis is loading the dataset in memory", "not serving: LOADING"),
        ("ERR max number of clients reached", "transport: max clients"),
    ] {
        let server = RedisServer::start().await;
        let world = behind(server, refusing("HELLO", words), "", "").await;
        let known = super::support::eventually(LONG, || async { world.last_fault() == fault });
        assert!(known.await, "{words}: {}", world.last_fault());
        assert!(!world.monitor().can_read());
        world.proxy.set(Fault::Pass).await;
        serves(&world).await;
        assert!(in_resp3(&world).await > 0, "{words}");
    }
}

#[tokio::test]
async fn what_refuses_everything_for_a_while_is_not_taken_for_old() {
    let world =
        behind(RedisServer::start().await, Fault::ErrorReply("ERR starting".into()), "", "").await;
    let tried = super::support::eventually(LONG, || async { world.proxy.accepted() > 2 });
    assert!(tried.await);
    world.proxy.set(Fault::Pass).await;
    // Connections of before may still be in use.
    world.proxy.cut_all().await;
    let modern = super::support::eventually(LONG, || async { in_resp3(&world).await > 0 });
    assert!(modern.await, "{:?}", world.monitor());
}

#[tokio::test]
async fn a_protocol_that_the_url_names() {
    let world = behind(RedisServer::start().await, Fault::Pass, "", "?protocol=resp2").await;
    serves(&world).await;
    assert_eq!(in_resp3(&world).await, 0);
    let world = behind(RedisServer::start().await, Fault::Pass, "", "?protocol=3").await;
    serves(&world).await;
    assert!(in_resp3(&world).await > 0);
    let refusal = refusing("HELLO", "ERR unknown command 'HELLO'");
    let world = behind(RedisServer::start().await, refusal, "", "?protocol=3").await;
    let known = super::support::eventually(LONG, || async { !world.last_fault().is_empty() });
    assert!(known.await && !world.monitor().can_read(), "{:?}", world.monitor());
}
