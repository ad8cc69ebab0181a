//! Did Redis keep its data? What recovery steps are told after every kind of restart.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use evenkeel::health::{Continuity, Registration, Stage, State};
use redis::cmd;
use tokio::time::Instant;

use super::{
    World,
    support::{RedisServer, eventually},
};

type Told = Arc<Mutex<Vec<(bool, Continuity)>>>;

/// What a step of [`Stage::Guards`] is told; it also shows that its connection works.
fn listen(world: &World) -> (Told, Registration) {
    let told = Told::default();
    let heard = Arc::clone(&told);
    let step = world.redis.on_recovery(Stage::Guards, "listener", move |mut redis, recovery| {
        heard.lock().unwrap().push((recovery.is_first(), recovery.continuity()));
        async move { redis.query(cmd("SET").arg("listener").arg(1)).await }
    });
    (told, step)
}

async fn world(persistent: bool) -> World {
    let server = RedisServer::builder().persistent(persistent).start().await;
    let health = super::world::health().with_probe_interval(Duration::from_millis(100));
    let world = World::up_with(server, |config| config.with_health(health)).await;
    // A heartbeat or two: by them Redis is known to have kept its data.
    let written = eventually(super::LONG, || async {
        world.server.query::<Vec<String>>(&["KEYS", "evenkeel:canary:*"]).await.unwrap().len() == 1
    });
    assert!(written.await);
    world
}

/// What the step was told after `restart`.
async fn told_after(world: &World, restart: impl AsyncFnOnce(&World)) -> Continuity {
    let (told, _step) = listen(world);
    let outages = world.monitor().status().outages;
    restart(world).await;
    world
        .becomes("back", |monitor| monitor.status().outages > outages && monitor.is_available())
        .await;
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(!told[0].0, "not the first connection");
    told[0].1
}

/// The server is away, and the process stays the same.
#[tokio::test]
async fn the_same_process() {
    let world = world(false).await;
    let told = told_after(&world, async |world| {
        world.proxy.set(super::support::Fault::Refuse).await;
        world.reaches(State::Disconnected).await;
        world.proxy.set(super::support::Fault::Pass).await;
    });
    assert_eq!(told.await, Continuity::Kept);
}

#[tokio::test]
async fn restarted_empty() {
    for persistent in [false, true] {
        let world = world(persistent).await;
        let told = told_after(&world, async |world| world.server.restart_empty().await).await;
        assert_eq!(told, Continuity::Lost, "persistent: {persistent}");
        assert!(world.logs.contains("lost data"), "{:?}", world.logs.lines());
    }
}

#[tokio::test]
async fn restarted_with_its_data() {
    let world = world(true).await;
    let before = Instant::now();
    for _ in 0..2 {
        let told = told_after(&world, async |world| world.server.restart().await).await;
        let Continuity::KeptUntil(at) = told else { panic!("{told:?}") };
        assert!(at <= Instant::now() && at + Duration::from_secs(5) > before, "{at:?}");
    }
    assert!(!world.logs.contains("lost data"), "{:?}", world.logs.lines());
}

#[tokio::test]
async fn restored_from_an_older_dump() {
    let world = world(true).await;
    let dump = world.server.save_dump().await;
    // Beats go on: what the dump holds is older.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let told = told_after(&world, async |world| world.server.restart_from(&dump).await).await;
    assert_eq!(told, Continuity::Lost);
    // From here on it is known again.
    let told = told_after(&world, async |world| world.server.restart().await).await;
    assert!(matches!(told, Continuity::KeptUntil(_)), "{told:?}");
}

/// It was away for so short a time that a new connection was there before anybody could miss it.
#[tokio::test]
async fn another_server_at_once() {
    let mut world = world(false).await;
    let empty = RedisServer::start().await;
    let told = told_after(&world, async |world| {
        world.proxy.set_upstream(empty.addr());
        world.proxy.cut_all().await;
    });
    assert_eq!(told.await, Continuity::Lost);
    let states = [(State::Connected, true), (State::Recovering, false), (State::Connected, true)];
    assert_eq!(world.history(), states);
    world.assert_one_line_a_transition();
    // The same server on new connections is no news.
    let outages = world.monitor().status().outages;
    world.proxy.cut_all().await;
    let accepted = world.proxy.accepted();
    assert!(eventually(super::LONG, || async { world.proxy.accepted() > accepted }).await);
    world.becomes("back", |monitor| monitor.is_available()).await;
    assert_eq!((world.history().len(), world.monitor().status().outages), (3, outages));
}

/// Writes that come back are announced after the steps.
#[tokio::test]
async fn writes_gone_and_back_run_the_steps() {
    let world = world(false).await;
    let (told, _step) = listen(&world);
    world.server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let refused = world.redis.query::<()>(cmd("SET").arg("key").arg(1)).await.unwrap_err();
    assert!(refused.is_unavailable());
    world.becomes("without writes", |monitor| monitor.can_read() && !monitor.can_write()).await;
    world.server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    world.becomes("back", |monitor| monitor.is_available()).await;
    assert_eq!(*told.lock().unwrap(), [(false, Continuity::Kept)]);
}

/// A step that Redis fails holds everything up: all steps run again, and nothing is announced
/// before.
#[tokio::test]
async fn redis_fails_during_recovery() {
    let mut world = world(false).await;
    let proxy = Arc::new(Mutex::new(0));
    let runs = Arc::clone(&proxy);
    let _step = world.redis.on_recovery(Stage::Counters, "unlucky", move |mut redis, _| {
        *runs.lock().unwrap() += 1;
        async move { redis.query(cmd("INCR").arg("unlucky")).await.map(|_: i64| ()) }
    });
    world.proxy.set(super::support::Fault::Refuse).await;
    world.reaches(State::Disconnected).await;
    world.proxy.set(super::support::Fault::lose_answer_to("INCR")).await;
    world.monitor().request_probe();
    world.becomes("back", |monitor| monitor.is_available()).await;
    assert_eq!(*proxy.lock().unwrap(), 2);
    let states: Vec<_> = world.history().iter().map(|(state, _)| *state).collect();
    use State::{Connected, Disconnected, Recovering};
    assert_eq!(
        states,
        [Connected, Disconnected, Recovering, Disconnected, Recovering, Connected],
        "{:?}",
        world.logs.lines()
    );
    assert_eq!(world.monitor().status().outages, 1, "one outage, however often it is tried");
}
