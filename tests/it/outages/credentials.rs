//! The server does not accept us: tried for ever, at the cap of the backoff; "misconfigured" for
//! all to see.

use std::time::Duration;

use evenkeel::{
    health::{Backoff, State},
    redis::{Redis, RedisConfig, RedisUrl},
    telemetry::Metrics,
};

use super::{
    Course, LONG, SLACK, Traffic, World,
    support::{Fault, FaultProxy, RedisServer, eventually},
    world::Operator,
};

const CAP: Duration = Duration::from_millis(500);

fn soon(config: RedisConfig) -> RedisConfig {
    let backoff = Backoff::new(Duration::from_millis(50), CAP);
    config.with_health(super::world::health().with_backoff(backoff))
}

async fn behind(server: RedisServer, path: &str, user: &str) -> World {
    let proxy = FaultProxy::in_front_of(&server).await;
    let url: RedisUrl = format!("redis://{user}{}{path}", proxy.addr()).parse().unwrap();
    World::behind(server, proxy, |_| soon(RedisConfig::new(url)))
}

async fn refused_as(world: &World, fault: &str) {
    let seen = eventually(LONG, || async { world.last_fault() == fault }).await;
    assert!(seen, "{}, not {fault}", world.last_fault());
    assert!(!world.monitor().can_read());
    let (_, health) = super::app::ask(&world.app, "/health/dependencies").await;
    assert!(health.contains(fault), "{health}");
    // Traffic asks for no more attempts than the cap allows.
    let _traffic = Traffic::start(&world.app);
    let before = world.proxy.accepted();
    tokio::time::sleep(CAP * 4).await;
    let attempts = world.proxy.accepted() - before;
    // Each opens a connection to read and one to write.
    assert!((2..=12).contains(&attempts), "{attempts} connections in {:?}", CAP * 4);
}

async fn accepted(world: &World) {
    let began = std::time::Instant::now();
    assert!(world.monitor().wait_available(LONG).await, "{:?}", world.monitor());
    assert!(began.elapsed() < CAP.mul_f64(1.1) + SLACK, "after {:?}", began.elapsed());
}

#[tokio::test]
async fn no_password_given_and_then_none_needed() {
    let server = RedisServer::builder().password("open-sesame").start().await;
    let world = behind(server, "", "").await;
    refused_as(&world, "credentials: NOAUTH").await;
    world.server.cli(&["CONFIG", "SET", "requirepass", ""]).await.unwrap();
    accepted(&world).await;
}

#[tokio::test]
async fn wrong_password_and_then_corrected() {
    let server = RedisServer::builder().password("open-sesame").start().await;
    let world = behind(server, "", ":hunter2@").await;
    refused_as(&world, "credentials: WRONGPASS").await;
    world.server.cli(&["CONFIG", "SET", "requirepass", "hunter2"]).await.unwrap();
    accepted(&world).await;
}

/// Waiting does not mend a wrong password, so an alert has to tell it from a server that is away.
#[tokio::test]
async fn attempts_that_are_not_accepted_are_counted_apart() {
    let server = RedisServer::builder().password("open-sesame").start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let metrics = Metrics::prometheus("outages", "test");
    let url = format!("redis://:hunter2@{}", proxy.addr()).parse().unwrap();
    let redis = Redis::new(soon(RedisConfig::new(url).with_metrics(metrics.clone()))).unwrap();
    let attempts = |status: &str| {
        let status = format!("status=\"{status}\"");
        crate::guards::metric(&metrics, &["redis_connection_attempts_total", &status])
    };
    assert!(eventually(LONG, || async { attempts("credentials") > 0 }).await);
    assert_eq!(attempts("success"), 0);
    // Away altogether, that is no matter of credentials.
    let failed = attempts("failed");
    proxy.set(Fault::Refuse).await;
    assert!(eventually(LONG, || async { attempts("failed") > failed }).await);
    drop(redis);
}

#[tokio::test]
async fn a_database_that_is_not_there() {
    let world = behind(RedisServer::start().await, "/99", "").await;
    refused_as(&world, "credentials: DB index").await;
}

#[tokio::test]
async fn a_user_who_may_not_ping() {
    let server = RedisServer::start().await;
    let may = ["ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-ping"];
    server.cli(&may).await.unwrap();
    let world = behind(server, "", "app:pw@").await;
    refused_as(&world, "credentials: NOPERM").await;
    world.server.cli(&["ACL", "SETUSER", "app", "+ping"]).await.unwrap();
    accepted(&world).await;
}

/// Connections that are there stay; those that are lost are missed.
#[tokio::test]
async fn a_password_set_and_taken_back() {
    let mut world = World::up_with(RedisServer::start().await, soon).await;
    let operator = Operator::of(&world.server).await;
    operator.tell(&["CONFIG", "SET", "requirepass", "open-sesame"]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(world.monitor().is_available(), "what is connected stays connected");
    let traffic = Traffic::start(&world.app);
    operator.tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    world.reaches(State::Disconnected).await;
    assert_eq!(world.last_fault(), "credentials: NOAUTH");
    operator.tell(&["CONFIG", "SET", "requirepass", ""]).await;
    accepted(&world).await;
    let seen = traffic.seen();
    assert_eq!(seen.refused("/plain") + seen.refused("/soft"), 0, "{seen:?}");
    assert!(seen.longest < world.op_timeout() + SLACK, "{seen:?}");
    assert_eq!(world.history().len(), 4, "{:?}", world.history());
    world.assert_one_line_a_transition();
}

/// Old connections serve; new ones are turned away.
#[tokio::test]
async fn max_clients() {
    let mut world = World::up().await;
    let operator = Operator::of(&world.server).await;
    operator.tell(&["CONFIG", "SET", "maxclients", "1"]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(world.monitor().is_available(), "what is connected stays connected");
    let begin = async |_: &World| {
        operator.tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    };
    let end = async |world: &World| {
        // The server says why and hangs up; the client may see no more than that it hung up.
        assert!(world.last_fault().starts_with("transport: "), "{}", world.last_fault());
        operator.tell(&["CONFIG", "SET", "maxclients", "1000"]).await;
    };
    Course::of_outage(&mut world, begin, end).await.assert_promises(&world);
}
