//! Nobody there: refused, reset, killed, garbage in the place of answers.

use evenkeel::health::State;

use super::{
    Course, LONG, World,
    support::{Fault, RedisServer, eventually},
};

async fn broken(fault: Fault, seen_as: &[&str]) {
    let mut world = World::up().await;
    let begin = async |world: &World| world.proxy.set(fault).await;
    let end = async |world: &World| {
        assert!(seen_as.contains(&world.last_fault().as_str()), "{}", world.last_fault());
        world.proxy.set(Fault::Pass).await;
    };
    Course::of_outage(&mut world, begin, end).await.assert_promises(&world);
}

#[tokio::test]
async fn refused() {
    broken(Fault::Refuse, &["transport: refused"]).await;
}

#[tokio::test]
async fn reset() {
    broken(Fault::Reset, &["transport: reset", "transport: closed"]).await;
}

#[tokio::test]
async fn garbage() {
    broken(Fault::Garbage, &["transport: garbage"]).await;
}

#[tokio::test]
async fn killed_and_started_again() {
    let mut world = World::up().await;
    let begin = async |world: &World| world.server.kill();
    let end = async |world: &World| world.server.restart().await;
    Course::of_outage(&mut world, begin, end).await.assert_promises(&world);
}

#[tokio::test]
async fn a_loss_is_known_at_once_without_traffic() {
    let hour = std::time::Duration::from_secs(3600);
    let world = World::up_with(RedisServer::start().await, |config| {
        config.with_health(super::world::health().with_probe_interval(hour))
    })
    .await;
    let began = std::time::Instant::now();
    world.server.kill();
    world.reaches(State::Disconnected).await;
    assert!(began.elapsed() < super::PROMISE, "after {:?}", began.elapsed());
    assert_eq!(world.monitor().status().outages, 1);
}

#[tokio::test]
async fn found_again_without_traffic_within_the_backoff() {
    let backoff = evenkeel::health::Backoff::new(
        std::time::Duration::from_millis(50),
        std::time::Duration::from_millis(200),
    );
    let world = World::up_with(RedisServer::start().await, |config| {
        config.with_health(super::world::health().with_backoff(backoff))
    })
    .await;
    world.server.kill();
    world.reaches(State::Disconnected).await;
    let retried = eventually(LONG, || async { world.monitor().status().retry_count > 3 }).await;
    assert!(retried, "{:?}", world.monitor());
    world.server.restart().await;
    let began = std::time::Instant::now();
    assert!(world.monitor().wait_available(LONG).await);
    assert!(began.elapsed() < backoff.last() * 2 + super::SLACK, "after {:?}", began.elapsed());
}
