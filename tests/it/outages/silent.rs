//! No answer, and no error either: a stopped process, a black hole, bytes that trickle.

use std::time::{Duration, Instant};

use evenkeel::health::State;

use super::{
    Course, SLACK, World,
    support::{Fault, RedisServer},
};

async fn silence(fault: Fault) -> (World, Course) {
    let mut world = World::up().await;
    let begin = async |world: &World| world.proxy.set(fault).await;
    let end = async |world: &World| world.proxy.set(Fault::Pass).await;
    let course = Course::of_outage(&mut world, begin, end).await;
    course.assert_promises(&world);
    (world, course)
}

#[tokio::test]
async fn hung() {
    let mut world = World::up().await;
    let begin = async |world: &World| world.server.freeze();
    let end = async |world: &World| {
        assert_eq!(world.last_fault(), "hang");
        world.server.thaw();
    };
    Course::of_outage(&mut world, begin, end).await.assert_promises(&world);
}

#[tokio::test]
async fn black_hole() {
    silence(Fault::BlackHole).await;
}

#[tokio::test]
async fn requests_arrive_and_answers_do_not() {
    silence(Fault::CutToClient).await;
}

#[tokio::test]
async fn answers_would_arrive_but_requests_do_not() {
    silence(Fault::CutToServer).await;
}

#[tokio::test]
async fn drip() {
    let mut world = World::up().await;
    let fault = Fault::Drip { bytes: 1, every: Duration::from_millis(200) };
    let begin = async |world: &World| world.proxy.set(fault).await;
    let end = async |world: &World| world.proxy.set(Fault::Pass).await;
    Course::of_outage(&mut world, begin, end).await.assert_promises(&world);
}

#[tokio::test]
async fn hung_while_idle_is_known_within_an_interval_and_a_probe() {
    let (interval, timeout) = (Duration::from_millis(300), Duration::from_millis(500));
    let health = super::world::health().with_probe_interval(interval).with_probe_timeout(timeout);
    let world =
        World::up_with(RedisServer::start().await, |config| config.with_health(health)).await;
    world.server.freeze();
    let began = Instant::now();
    world.reaches(State::Disconnected).await;
    let took = began.elapsed();
    assert!(took < interval.mul_f64(1.1) + timeout + SLACK, "after {took:?}");
}

#[tokio::test]
async fn a_short_freeze_is_no_outage() {
    let mut world = World::up().await;
    let traffic = super::Traffic::start(&world.app);
    for _ in 0..2 {
        world.server.freeze();
        tokio::time::sleep(Duration::from_millis(400)).await;
        world.server.thaw();
        world.becomes("available again", |monitor| monitor.is_available()).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let seen = traffic.seen();
    assert!(seen.longest < world.op_timeout() + SLACK, "{seen:?}");
    assert_eq!(seen.refused("/plain") + seen.refused("/soft"), 0, "{seen:?}");
    assert!(seen.count("/strict", 503) > 0, "the freeze was not met: {seen:?}");
    assert_eq!(world.history(), [(State::Connected, true)], "{:?}", world.logs.lines());
    assert_eq!(world.monitor().status().outages, 0);
}
