//! The server answers, and says that it cannot serve.

use std::time::Duration;

use super::{
    Course, World,
    support::{Fault, RedisServer, free_port},
};

async fn not_serving(
    server: RedisServer,
    seen_as: &str,
    begin: impl AsyncFnOnce(&World),
    end: impl AsyncFnOnce(&World),
) -> (World, usize) {
    let mut world = World::up_with(server, |config| config).await;
    let mut connections = 0;
    let begin = async |world: &World| {
        begin(world).await;
        connections = world.proxy.accepted();
    };
    let end = async |world: &World| {
        assert_eq!(world.last_fault(), seen_as);
        end(world).await;
    };
    let course = Course::of_outage(&mut world, begin, end).await;
    course.assert_promises(&world);
    let made = world.proxy.accepted() - connections;
    (world, made)
}

#[tokio::test]
async fn masterdown() {
    let server = RedisServer::builder().arg("replica-serve-stale-data", "no").start().await;
    let begin = async |world: &World| {
        let nobody = free_port().to_string();
        world.server.cli(&["REPLICAOF", "127.0.0.1", &nobody]).await.unwrap();
    };
    let end = async |world: &World| world.server.promote().await;
    not_serving(server, "not serving: MASTERDOWN", begin, end).await;
}

/// PING is answered then, and nothing else.
#[tokio::test]
async fn clusterdown() {
    let server = RedisServer::builder().arg("cluster-enabled", "yes").start().await;
    let add: &[&str] = &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"];
    server.cli(add).await.unwrap();
    let whole = super::support::eventually(super::LONG, || async {
        let info: String = server.query(&["CLUSTER", "INFO"]).await.unwrap();
        info.contains("cluster_state:ok")
    });
    assert!(whole.await);
    let begin = async |world: &World| {
        world.server.cli(&["CLUSTER", "DELSLOTSRANGE", "0", "16383"]).await.unwrap();
    };
    let end = async |world: &World| {
        world.server.cli(add).await.unwrap();
        let whole = super::support::eventually(super::LONG, || async {
            world.server.cli(&["GET", "any"]).await.is_ok()
        });
        assert!(whole.await);
    };
    not_serving(server, "not serving: CLUSTERDOWN", begin, end).await;
}

#[tokio::test]
async fn busy_script() {
    let server = RedisServer::builder().arg("lua-time-limit", 10).start().await;
    let begin = async |world: &World| {
        let mut connection = world.server.connect().await.unwrap();
        tokio::spawn(async move {
            let endless = redis::cmd("EVAL").arg("while true do end").arg(0).to_owned();
            let _: redis::RedisResult<()> = endless.query_async(&mut connection).await;
        });
    };
    let end = async |world: &World| {
        world.server.cli(&["SCRIPT", "KILL"]).await.unwrap();
    };
    not_serving(server, "not serving: BUSY", begin, end).await;
}

/// The connections are kept: no storm of new ones at a server that is starting.
#[tokio::test]
async fn loading_keeps_the_connections() {
    let begin = async |world: &World| world.proxy.set(Fault::loading()).await;
    let end = async |world: &World| {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        world.proxy.set(Fault::Pass).await;
    };
    let server = RedisServer::start().await;
    let (_world, made) = not_serving(server, "not serving: LOADING", begin, end).await;
    assert!(made <= 2, "{made} new connections");
}

#[tokio::test]
async fn loading_after_a_restart() {
    let settings = RedisServer::builder().persistent(true).arg("key-load-delay", 400);
    let server = settings.start().await;
    let fill = "for i = 1, 5000 do redis.call('SET', i, i) end";
    server.cli(&["EVAL", fill, "0"]).await.unwrap();
    let mut world = World::up_with(server, |config| config).await;
    let begin = async |world: &World| world.server.restart_loading().await;
    let end = async |world: &World| {
        let seen = super::support::eventually(super::LONG, || async {
            world.last_fault() == "not serving: LOADING"
        });
        assert!(seen.await, "{}", world.last_fault());
        let loaded = super::support::eventually(super::LONG, || async {
            world.server.cli(&["GET", "5000"]).await.is_ok()
        });
        assert!(loaded.await);
    };
    let course = Course::of_outage(&mut world, begin, end).await;
    assert!(course.recovered < super::PROMISE + super::SLACK, "{course:?}");
}

#[tokio::test]
async fn client_pause_all() {
    let server = RedisServer::start().await;
    let begin = async |world: &World| {
        world.server.cli(&["CLIENT", "PAUSE", "1500", "ALL"]).await.unwrap();
    };
    let end = async |world: &World| {
        world.server.cli(&["ECHO", "over"]).await.unwrap();
    };
    not_serving(server, "hang", begin, end).await;
}
