//! A connection is lost or dead, and the server is not: no outage.

use std::time::Duration;

use evenkeel::{
    health::{Stage, State},
    redis::Redis,
};
use redis::cmd;

use super::{
    LONG, SLACK, Traffic, World,
    support::{Fault, FaultProxy, LogCapture, RedisServer, eventually},
};

async fn no_outage(world: &mut World, traffic: &Traffic) {
    let seen = traffic.seen();
    assert_eq!(seen.refused("/plain") + seen.refused("/soft"), 0, "{seen:?}");
    assert!(seen.longest < world.op_timeout() + SLACK, "{seen:?}");
    assert_eq!(world.history(), [(State::Connected, true)], "{:?}", world.logs.lines());
    assert_eq!(world.monitor().status().outages, 0);
    world.assert_one_line_a_transition();
}

#[tokio::test]
async fn client_kill() {
    let mut world = World::up().await;
    let traffic = Traffic::start(&world.app);
    for _ in 0..10 {
        world.server.cli(&["CLIENT", "KILL", "TYPE", "normal"]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.becomes("available again", |monitor| monitor.is_available()).await;
    }
    no_outage(&mut world, &traffic).await;
}

/// A read whose connection is lost under it is asked again; the caller never knows.
#[tokio::test]
async fn a_read_survives_the_loss_of_its_connection() {
    let world = World::up().await;
    world.server.cli(&["SET", "key", "7"]).await.unwrap();
    for _ in 0..5 {
        world.proxy.set(Fault::lose_answer_to("GET")).await;
        let got: i32 = world.redis.query(cmd("GET").arg("key")).await.unwrap();
        assert_eq!(got, 7);
        world.becomes("available again", |monitor| monitor.is_available()).await;
    }
}

/// What may have taken effect is never sent again.
#[tokio::test]
async fn a_write_is_sent_once() {
    let world = World::up().await;
    world.proxy.set(Fault::lose_answer_to("INCR")).await;
    let error = world.redis.query::<i64>(cmd("INCR").arg("count")).await.unwrap_err();
    assert_eq!(error.kind(), evenkeel::ErrorKind::Connection, "{error}");
    world.becomes("available again", |monitor| monitor.is_available()).await;
    assert_eq!(world.redis.query::<i64>(cmd("GET").arg("count")).await.unwrap(), 1);
}

/// Neither the pool nor the client ever notices that.
#[tokio::test]
async fn old_connections_in_a_black_hole_while_new_ones_work() {
    let mut world = World::up().await;
    let traffic = Traffic::start(&world.app);
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.proxy.set(Fault::HoldExisting).await;
    world.becomes("suspect", |monitor| !monitor.is_available()).await;
    let began = std::time::Instant::now();
    world.becomes("available again", |monitor| monitor.is_available()).await;
    assert!(began.elapsed() < world.op_timeout() + SLACK, "after {:?}", began.elapsed());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(traffic.seen().count("/strict", 200) > 0);
    no_outage(&mut world, &traffic).await;
}

/// Several shared connections: those that are dead are replaced, each by one.
#[tokio::test]
async fn one_of_several_is_lost() {
    let mut world =
        World::up_with(RedisServer::start().await, |config| config.with_connections(4)).await;
    let traffic = Traffic::start(&world.app);
    // The handle's and the write probe's.
    let has_all = || async { world.server.connected_clients().await == 5 };
    assert!(eventually(LONG, has_all).await);
    for round in 0..4 {
        let list: String = world.server.query(&["CLIENT", "LIST", "TYPE", "normal"]).await.unwrap();
        let line = list.lines().find(|line| !line.contains("evenkeel-test-kit")).unwrap();
        let id = line.strip_prefix("id=").and_then(|rest| rest.split(' ').next()).unwrap();
        world.server.cli(&["CLIENT", "KILL", "ID", id]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.becomes("available again", |monitor| monitor.is_available()).await;
        let clients = world.server.connected_clients().await;
        assert!(eventually(LONG, has_all).await, "{clients} connections in round {round}");
    }
    no_outage(&mut world, &traffic).await;
}

/// The last handle takes its connections with it.
#[tokio::test]
async fn no_connection_outlives_the_handle() {
    let server = RedisServer::start().await;
    let config = evenkeel::redis::RedisConfig::new(server.url().parse().unwrap());
    let redis = Redis::new(config).unwrap();
    assert!(redis.monitor().wait_available(LONG).await);
    let step = redis.on_recovery(Stage::Guards, "held", |_, _| async { Ok(()) });
    assert!(server.connected_clients().await > 0);
    drop(redis);
    assert!(eventually(LONG, || async { server.connected_clients().await == 0 }).await);
    drop(step);

    let config = evenkeel::redis::RedisConfig::new(server.url().parse().unwrap());
    let redis = Redis::new(config).unwrap();
    assert!(redis.monitor().wait_available(LONG).await);
    redis.shutdown().await;
    assert!(eventually(LONG, || async { server.connected_clients().await == 0 }).await);
    let error = redis.query::<Option<u8>>(cmd("GET").arg("key")).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
}

#[tokio::test]
async fn old_connections_in_a_black_hole_without_traffic() {
    let interval = Duration::from_millis(200);
    let health = super::world::health().with_probe_interval(interval);
    let mut world =
        World::up_with(RedisServer::start().await, |config| config.with_health(health)).await;
    world.proxy.set(Fault::HoldExisting).await;
    let accepted = world.proxy.accepted();
    assert!(eventually(LONG, || async { world.proxy.accepted() > accepted }).await);
    world.becomes("available again", |monitor| monitor.is_available()).await;
    let got = world.redis.query::<Option<u8>>(cmd("GET").arg("key")).await.unwrap();
    assert_eq!((got, world.history().len()), (None, 1));
}

#[tokio::test]
async fn new_connections_refused_while_old_ones_work() {
    let mut world = World::up().await;
    let traffic = Traffic::start(&world.app);
    world.proxy.set(Fault::RefuseNew).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(world.monitor().is_available());
    assert_eq!(traffic.seen().refused("/strict"), 0);
    no_outage(&mut world, &traffic).await;
}

#[tokio::test]
async fn a_pool_that_the_application_has() {
    let _logs = LogCapture::start();
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let pool = evenkeel::redis::deadpool_redis::Config::from_url(proxy.url())
        .create_pool(Some(evenkeel::redis::deadpool_redis::Runtime::Tokio1))
        .unwrap();
    let config = evenkeel::redis::RedisConfig::new(proxy.url().parse().unwrap())
        .with_health(super::world::health());
    let redis = Redis::with_pool(pool.clone(), config).unwrap();
    let monitor = redis.monitor();
    for _ in 0..2 {
        assert!(monitor.wait_available(LONG).await);
        let _: () = redis.query(cmd("SET").arg("key").arg(7)).await.unwrap();
        proxy.set(Fault::BlackHole).await;
        let began = std::time::Instant::now();
        let error = redis.query::<i32>(cmd("GET").arg("key")).await.unwrap_err();
        assert!(error.is_unavailable() && began.elapsed() < Duration::from_millis(500), "{error}");
        assert!(eventually(LONG, || async { monitor.state() == State::Disconnected }).await);
        proxy.set(Fault::Pass).await;
        monitor.request_probe();
    }
    assert!(monitor.wait_available(LONG).await);
    assert_eq!(redis.query::<i32>(cmd("GET").arg("key")).await.unwrap(), 7);
    assert_eq!(pool.status().size, 0, "the pool's own users are not touched");
}

/// As packets do that are lost for good: what was tried while the network was gone is never
/// answered, what is tried afterwards is.
#[tokio::test]
async fn attempts_that_went_into_a_black_hole_do_not_hold_up_the_return() {
    // So long that waiting for one attempt to be given up would show.
    let health = super::world::health().with_probe_timeout(Duration::from_secs(4));
    let server = RedisServer::start().await;
    let world = World::up_with(server, |config| config.with_health(health)).await;
    let _traffic = Traffic::start(&world.app);
    world.proxy.set(Fault::BlackHole).await;
    world.becomes("disconnected", |monitor| monitor.state() == State::Disconnected).await;
    // An attempt is under way by now.
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    world.proxy.set(Fault::HoldExisting).await;
    let began = std::time::Instant::now();
    world.becomes("available again", |monitor| monitor.is_available()).await;
    assert!(began.elapsed() < Duration::from_secs(1) + SLACK, "after {:?}", began.elapsed());
}
