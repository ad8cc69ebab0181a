//! The application starts without Redis, and finds it when it comes.

use std::time::{Duration, Instant};

use evenkeel::health::{Backoff, State};

use super::{
    LONG, PROMISE, SLACK, Traffic, World,
    support::{Fault, FaultProxy, RedisServer, eventually},
};

/// Starts with `fault` in the way; it ends after a while, under traffic.
async fn start_with(fault: Fault) {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    proxy.set(fault).await;
    let began = Instant::now();
    let mut world = World::behind(server, proxy, |config| config);
    assert!(began.elapsed() < SLACK, "it takes {:?} to start", began.elapsed());
    let traffic = Traffic::start(&world.app);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let seen = traffic.seen();
    assert_eq!(seen.refused("/plain") + seen.refused("/soft"), 0, "{seen:?}");
    assert!(seen.count("/strict", 503) > 0 && seen.count("/strict", 200) == 0, "{seen:?}");
    assert!(seen.longest < SLACK, "nothing waits for what was never there: {seen:?}");
    assert_eq!(world.monitor().state(), State::Connecting);

    world.proxy.set(Fault::Pass).await;
    found(&mut world).await;
    assert!(eventually(LONG, || async { traffic.seen().count("/strict", 200) > 0 }).await);
    assert_eq!(world.history(), [(State::Connected, true)], "{:?}", world.logs.lines());
    world.assert_one_line_a_transition();
}

async fn found(world: &mut World) {
    let ended = Instant::now();
    assert!(world.monitor().wait_available(LONG).await);
    assert!(ended.elapsed() < PROMISE + SLACK, "after {:?}", ended.elapsed());
}

#[tokio::test]
async fn absent_at_the_start() {
    start_with(Fault::Refuse).await;
}

#[tokio::test]
async fn hung_at_the_start() {
    start_with(Fault::BlackHole).await;
}

#[tokio::test]
async fn a_stopped_process_at_the_start() {
    let server = RedisServer::start().await;
    server.freeze();
    let mut world = World::begin(server, |config| config).await;
    let traffic = Traffic::start(&world.app);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(world.monitor().state(), State::Connecting);
    world.server.thaw();
    found(&mut world).await;
    assert!(traffic.seen().longest < SLACK);
}

#[tokio::test]
async fn absent_for_long_and_found_all_the_same() {
    let server = RedisServer::start().await;
    server.kill();
    let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(100));
    let health = super::world::health().with_backoff(backoff).with_startup_attempts(4);
    let mut world = World::begin(server, |config| config.with_health(health)).await;
    world.reaches(State::Failed).await;
    assert_eq!(world.monitor().status().retry_count, 4);
    let (status, body) = super::app::ask(&world.app, "/strict").await;
    assert!(status == 503 && body.contains("\"status\":\"failed\""), "{status} {body}");
    let (status, body) = super::app::ask(&world.app, "/health/dependencies").await;
    assert!(status == 200 && body.contains("\"connectionState\":\"failed\""), "{status} {body}");
    let goes_on = eventually(LONG, || async { world.monitor().status().retry_count > 10 }).await;
    assert!(goes_on, "{:?}", world.monitor());

    let traffic = Traffic::start(&world.app);
    world.server.restart().await;
    found(&mut world).await;
    let states = [(State::Failed, false), (State::Recovering, false), (State::Connected, true)];
    assert_eq!(world.history(), states);
    world.assert_one_line_a_transition();
    assert_eq!(traffic.seen().refused("/soft"), 0);
    assert_eq!(world.monitor().status().outages, 1);
}
