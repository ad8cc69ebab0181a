//! Redis is taken away by hand, and given back.

use std::time::Duration;

use evenkeel::health::State;

use super::World;

#[tokio::test]
async fn one_line_with_the_reason() {
    let mut world = World::up().await;
    world.monitor().force_down("a drill", Duration::from_secs(60));
    world.reaches(State::Disconnected).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let warnings = world.logs.at_least(tracing::Level::WARN);
    let [line] = warnings.as_slice() else { panic!("{warnings:#?}") };
    assert!(line.fields.contains("a drill") && line.fields.contains("connected"), "{line:?}");
    world.monitor().release();
    world.becomes("available", |monitor| monitor.is_available()).await;
    world.assert_one_line_a_transition();
    // Away already: there is no transition, and it is said all the same.
    world.server.kill();
    world.reaches(State::Disconnected).await;
    world.logs.clear();
    world.monitor().force_down("repairs", Duration::from_secs(60));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let warnings = world.logs.at_least(tracing::Level::WARN);
    assert!(matches!(&*warnings, [line] if line.fields.contains("repairs")), "{warnings:#?}");
}
