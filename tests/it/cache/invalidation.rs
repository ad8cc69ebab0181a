//! What one instance changes, the others hear; what they cannot hear, they do not serve.

use evenkeel::store::cache::{Cache, Tier};

use super::{
    Database, Instance, patient,
    support::{Fault, FaultProxy, RedisServer, eventually},
};
use crate::guards::PATIENCE;

async fn soon(instance: &Instance, database: &Database, key: &str, value: u64) {
    let soon =
        eventually(PATIENCE, || async { instance.reads(database, key).await.0 == Some(value) });
    assert!(soon.await, "{key} is not {value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn others_hear_of_what_is_set_deleted_and_expired() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 1)]);
    let (a, b) = (Instance::at(&server.url()), Instance::at(&server.url()));
    let (a, b) = (a.ready().await, b.ready().await);
    assert_eq!(a.reads(&database, "k").await.0, Some(1));
    assert_eq!(b.reads(&database, "k").await.0, Some(1));
    assert!(a.items.set("k", Some(2)).await.is_propagated());
    assert_eq!(a.reads(&database, "k").await, (Some(2), Tier::Memory));
    soon(&b, &database, "k", 2).await;
    database.write("k", 3);
    assert!(a.items.delete("k").await.is_propagated());
    soon(&b, &database, "k", 3).await;
    database.write("k", 4);
    assert!(b.items.expire("k").await.is_propagated());
    soon(&a, &database, "k", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_cleared_leaves_its_neighbour_alone() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 1)]);
    let a = Instance::named(&server.url(), "a", patient).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let [own, neighbour] = ["a", "b"].map(|name| {
        let builder = patient(Cache::builder(&b.redis, name));
        Instance {
            redis: b.redis.clone(),
            items: builder.build().unwrap(),
            metrics: b.metrics.clone(),
        }
    });
    own.in_step().await;
    neighbour.in_step().await;
    for instance in [&own, &neighbour] {
        assert_eq!(instance.reads(&database, "k").await.0, Some(1));
    }
    database.write("k", 2);
    assert!(a.items.clear().await.is_propagated());
    soon(&own, &database, "k", 2).await;
    assert_eq!(neighbour.reads(&database, "k").await, (Some(1), Tier::Memory));
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_enumerates_nothing() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    server.cli(&["DEBUG", "POPULATE", "200000"]).await.unwrap();
    let _ = a.items.set("user:7:name", Some(1)).await;
    let scripts =
        server.commands_processed("evalsha").await + server.commands_processed("eval").await;
    assert!(a.items.clear_prefix("user:7:").await.is_propagated());
    let after =
        server.commands_processed("evalsha").await + server.commands_processed("eval").await;
    // One, or two where the script was not known.
    assert!(after - scripts <= 2, "{} scripts", after - scripts);
    for command in ["keys", "scan"] {
        assert_eq!(server.commands_processed(command).await, 0, "{command}");
    }
    assert!(a.items.get("user:7:name").await.is_none());
}

/// Commands work, so this is no outage; but who hears nothing must not serve from memory.
#[tokio::test(flavor = "multi_thread")]
async fn while_invalidations_are_not_heard_memory_does_not_answer() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let database = Database::with(&[("k", 1)]);
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&proxy.url()).ready().await;
    assert_eq!(b.reads(&database, "k").await.0, Some(1));
    assert_eq!(b.reads(&database, "k").await.1, Tier::Memory);
    proxy.set(Fault::HoldThatSends("SUBSCRIBE".into())).await;
    server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
    let noticed = eventually(PATIENCE, || async { !b.items.is_in_step() });
    assert!(noticed.await);
    assert_eq!(b.redis.monitor().status().outages, 0);
    for (version, by_tag) in [(2, false), (3, true)] {
        database.write("k", version);
        let told = if by_tag { a.items.clear().await } else { a.items.delete("k").await };
        assert!(told.is_propagated());
        soon(&b, &database, "k", version).await;
    }
    proxy.set(Fault::Pass).await;
    b.in_step().await;
    database.write("k", 4);
    assert!(a.items.delete("k").await.is_propagated());
    soon(&b, &database, "k", 4).await;
}

/// A connection that has died in silence.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_for_long_when_nobody_says_that_the_connection_is_gone() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let database = Database::with(&[("k", 1)]);
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&proxy.url()).ready().await;
    assert_eq!(b.reads(&database, "k").await.0, Some(1));
    proxy.set(Fault::HoldUsersOf("SUBSCRIBE".into())).await;
    database.write("k", 2);
    assert!(a.items.delete("k").await.is_propagated());
    let began = std::time::Instant::now();
    soon(&b, &database, "k", 2).await;
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(b.redis.monitor().status().outages, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_somebody_empties_empties_memory_too() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 1)]);
    let a = Instance::at(&server.url()).ready().await;
    assert_eq!(a.reads(&database, "k").await.0, Some(1));
    assert_eq!(a.reads(&database, "k").await.1, Tier::Memory);
    database.write("k", 2);
    server.flushall().await;
    soon(&a, &database, "k", 2).await;
    assert_eq!(a.redis.monitor().status().outages, 0);
}

/// An old dump holds an old value, and no word of its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_older_serves_nothing_of_it() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 1), ("l", 1)]);
    let a = Instance::at(&server.url()).ready().await;
    for key in ["k", "l"] {
        assert_eq!(a.reads(&database, key).await.0, Some(1));
    }
    let b = Instance::at(&server.url()).ready().await;
    assert!(eventually(PATIENCE, || async { b.items.get("l").await.is_some() }).await);
    let dump = server.save_dump().await;
    for key in ["k", "l"] {
        database.write(key, 2);
        assert!(a.items.delete(key).await.is_propagated());
    }
    assert_eq!(a.reads(&database, "k").await.0, Some(2));
    server.kill();
    a.away().await;
    b.away().await;
    server.restart_from(&dump).await;
    for instance in [&a, &b] {
        assert!(instance.redis.monitor().wait_available(PATIENCE).await);
    }
    let c = Instance::at(&server.url()).ready().await;
    for instance in [&a, &b, &c] {
        for key in ["k", "l"] {
            assert_eq!(instance.reads(&database, key).await.0, Some(2), "{key}");
        }
    }
}
