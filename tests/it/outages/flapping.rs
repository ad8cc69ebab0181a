//! Redis comes and goes every 200 ms.

use std::time::{Duration, Instant};

use evenkeel::health::State;

use super::{LONG, SLACK, Traffic, World, support::Fault};

#[tokio::test]
async fn every_200_ms() {
    let mut world = World::up().await;
    let traffic = Traffic::start(&world.app);
    let rounds = 15;
    for _ in 0..rounds {
        world.proxy.set(Fault::Refuse).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.proxy.set(Fault::Pass).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let ended = Instant::now();
    assert!(world.monitor().wait_available(LONG).await);
    // At most eight successes are asked for, 50 ms apart.
    let damped = Duration::from_millis(7 * 50);
    assert!(ended.elapsed() < super::PROMISE + damped + SLACK, "after {:?}", ended.elapsed());
    let seen = traffic.seen();
    assert_eq!(seen.refused("/plain") + seen.refused("/soft"), 0, "{seen:?}");
    assert!(seen.longest < world.op_timeout() + SLACK, "{seen:?}");
    world.assert_one_line_a_transition();
    let history = world.history();
    let returns = history.iter().filter(|(state, _)| *state == State::Connected).count();
    assert!(returns - 1 < rounds / 2, "damped: {returns} returns in {rounds} rounds, {history:?}");
}
