//! Answers come, but too late to be of use.

use std::time::Duration;

use super::{
    Course, LONG, World,
    support::{Fault, RedisServer},
};

#[tokio::test]
async fn a_second_and_a_half_of_latency() {
    let health = super::world::health().with_probe_timeout(Duration::from_secs(2));
    let mut world =
        World::up_with(RedisServer::start().await, |config| config.with_health(health)).await;
    let late = Fault::Delay(Duration::from_millis(1500));
    let begin = async |world: &World| world.proxy.set(late).await;
    let end = async |world: &World| {
        assert_eq!(world.last_fault(), "slow");
        world.proxy.set(Fault::Pass).await;
    };
    let course = Course::of_outage(&mut world, begin, end).await;
    assert!(course.detected < world.op_timeout() + super::SLACK, "{course:?}");
    // The answer to a probe that was under way comes late, once more.
    assert!(course.recovered < super::PROMISE + Duration::from_millis(1500), "{course:?}");
}

#[tokio::test]
async fn slow_until_answers_come_in_half_the_time() {
    let world = World::up().await;
    let traffic = super::Traffic::start(&world.app);
    world.proxy.set(Fault::Delay(Duration::from_millis(250))).await;
    world.reaches(evenkeel::health::State::Disconnected).await;
    assert_eq!(world.last_fault(), "slow");
    // In time for a command, and still not good enough to come back.
    world.proxy.set(Fault::Delay(Duration::from_millis(75))).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!world.monitor().is_available());
    world.proxy.set(Fault::Pass).await;
    assert!(world.monitor().wait_available(LONG).await);
    assert!(traffic.seen().longest < world.op_timeout() + super::SLACK);
}
