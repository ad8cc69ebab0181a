//! Connections of one's own, for commands that wait or that change the connection.

use std::time::{Duration, Instant};

use evenkeel::ErrorKind;
use redis::{AsyncCommands, cmd};

use super::{LONG, SLACK, World};

#[tokio::test]
async fn a_shared_connection_refuses_what_would_bind_it() {
    let world = World::up().await;
    for command in [
        cmd("BLPOP").arg("queue").arg(0),
        cmd("WATCH").arg("key"),
        &mut cmd("MULTI"),
        cmd("SELECT").arg(3),
        cmd("XREAD").arg("BLOCK").arg(0).arg("STREAMS").arg("s").arg("$"),
    ] {
        let error = world.redis.query::<redis::Value>(command).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unavailable()), (ErrorKind::Invalid, false), "{error}");
        assert!(error.to_string().contains("Redis::dedicated"), "{error}");
    }
    // Not even hidden in a pipeline.
    let mut pipeline = redis::pipe();
    pipeline.cmd("GET").arg("key").cmd("BLPOP").arg("queue").arg(0);
    let mut connection = world.redis.connection();
    let error = connection.query_pipeline::<redis::Value>(&pipeline).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(world.monitor().is_available());
}

/// `SUBSCRIBE` would be answered OK, and its messages could never be read.
#[tokio::test]
async fn no_connection_takes_what_makes_the_server_send_messages() {
    let world = World::up().await;
    let own = world.redis.dedicated(Duration::from_secs(1)).await.unwrap();
    for mut connection in [world.redis.connection(), own] {
        for command in [
            cmd("SUBSCRIBE").arg("channel"),
            cmd("psubscribe").arg("chan*"),
            cmd("SSUBSCRIBE").arg("channel"),
            &mut cmd("MONITOR"),
        ] {
            let error = connection.query::<redis::Value>(command).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(error.to_string().contains("Redis::subscribe"), "{error}");
        }
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg("key").cmd("SUBSCRIBE").arg("channel");
        let error = connection.query_pipeline::<redis::Value>(&pipeline).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let _: String = connection.query(&cmd("PING")).await.unwrap();
    }
    assert_eq!(world.server.commands_processed("subscribe").await, 0);
}

#[tokio::test]
async fn blpop_waits_and_hinders_nobody() {
    let world = World::up().await;
    let mut own = world.redis.dedicated(Duration::from_secs(20)).await.unwrap();
    let waiting = tokio::spawn(async move {
        let popped: (String, String) = own.query(cmd("BLPOP").arg("queue").arg(10)).await.unwrap();
        popped.1
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    let _: i64 = world.redis.connection().rpush("queue", "item").await.unwrap();
    assert!(began.elapsed() < SLACK);
    assert_eq!(waiting.await.unwrap(), "item");
    assert!(world.monitor().is_available());
    assert_eq!(world.monitor().status().last_fault, None);
}

#[tokio::test]
async fn watch_and_select_stay_ones_own() {
    let world = World::up().await;
    let mut own = world.redis.dedicated(Duration::from_secs(1)).await.unwrap();
    let _: () = own.query(cmd("SELECT").arg(3)).await.unwrap();
    let _: () = own.set("key", "three").await.unwrap();
    let seen: Option<String> = world.redis.query(cmd("GET").arg("key")).await.unwrap();
    assert_eq!(seen, None);
    let _: () = own.query(cmd("SELECT").arg(0)).await.unwrap();
    let _: () = own.query(cmd("WATCH").arg("key")).await.unwrap();
    let _: () = world.redis.query(cmd("SET").arg("key").arg("other")).await.unwrap();
    let mut pipeline = redis::pipe();
    pipeline.atomic().set("key", "mine");
    let done: Option<()> = own.query_pipeline(&pipeline).await.unwrap();
    assert_eq!(done, None, "somebody else was faster");
}

#[tokio::test]
async fn a_deadline_of_its_own_is_no_evidence() {
    let world = World::up().await;
    let mut own = world.redis.dedicated(Duration::from_millis(200)).await.unwrap();
    let error = own.query::<redis::Value>(cmd("BLPOP").arg("queue").arg(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(world.monitor().is_available());
}

#[tokio::test]
async fn refused_at_once_while_redis_is_away() {
    let world = World::up().await;
    let mut own = world.redis.dedicated(Duration::from_secs(20)).await.unwrap();
    let waiting =
        tokio::spawn(async move { own.query::<redis::Value>(cmd("BLPOP").arg("q").arg(0)).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.server.kill();
    let error = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap().unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    world.becomes("away", |monitor| !monitor.can_read()).await;
    let began = Instant::now();
    let error = world.redis.dedicated(Duration::from_secs(20)).await.unwrap_err();
    assert!(error.is_unavailable() && began.elapsed() < SLACK, "{error}");
}
