//! Errors about the command are that call's alone: Redis has answered.

use evenkeel::{ErrorKind, Source, health::State, redis::Script};
use redis::{AsyncCommands, cmd};

use super::World;

async fn unmoved(mut world: World) {
    assert!(world.monitor().is_available());
    assert_eq!(world.history(), [(State::Connected, true)]);
    assert_eq!(world.monitor().status().last_fault, None);
}

#[tokio::test]
async fn wrongtype_and_the_like() {
    let world = World::up().await;
    let mut connection = world.redis.connection();
    let _: i64 = connection.rpush("list", "item").await.unwrap();
    for command in [
        cmd("INCR").arg("list"),
        cmd("GET").arg("list"),
        cmd("NOSUCHCOMMAND").arg(1),
        cmd("SET").arg("key"),
        cmd("EVALSHA").arg("0".repeat(40)).arg(0),
        cmd("EVAL").arg("return redis.call('GET', 'list')").arg(0),
        cmd("EVAL").arg("return nonsense").arg(0),
    ] {
        let error = world.redis.query::<redis::Value>(command).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unavailable()), (ErrorKind::Command, false), "{error}");
        assert!(world.redis.query_or(command, 0).await.is_err(), "not what the default is for");
    }
    let error = world.redis.query::<Vec<u64>>(cmd("ECHO").arg("word")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Command, "{error}");
    unmoved(world).await;
}

#[tokio::test]
async fn transactions_are_judged_by_what_is_inside() {
    let world = World::up().await;
    let mut connection = world.redis.connection();
    let _: i64 = connection.rpush("list", "item").await.unwrap();
    let mut pipeline = redis::pipe();
    pipeline.atomic().set("key", 1).incr("list", 1);
    let error = connection.query_pipeline::<redis::Value>(&pipeline).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unavailable()), (ErrorKind::Command, false), "{error}");
    unmoved(world).await;
}

#[tokio::test]
async fn a_script_is_sent_whole_to_who_does_not_know_it() {
    let world = World::up().await;
    let add = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let mut connection = world.redis.connection();
    for total in [3, 6] {
        let got: i64 = add.prepare(&["sum"]).arg(3).run(&mut connection).await.unwrap();
        assert_eq!(got, total);
        world.server.cli(&["SCRIPT", "FLUSH"]).await.unwrap();
    }
    let got: i64 = add.prepare(&["sum"]).arg(3).run(&mut connection).await.unwrap();
    assert_eq!(got, 9, "carried out once, not twice");
    // From then on by its hash.
    let evals = world.server.commands_processed("eval").await;
    let _: i64 = add.prepare(&["sum"]).arg(1).run(&mut connection).await.unwrap();
    assert_eq!(world.server.commands_processed("eval").await, evals);
    unmoved(world).await;
}

#[tokio::test]
async fn script_flush_under_traffic() {
    let world = World::up().await;
    let script = Script::new("return ARGV[1]");
    for round in 0..50 {
        if round % 10 == 0 {
            world.server.cli(&["SCRIPT", "FLUSH"]).await.unwrap();
        }
        let calls = (0..8).map(|n| {
            let call = script.prepare(&["key"]).arg(n);
            let mut connection = world.redis.connection();
            async move { call.run::<i32>(&mut connection).await.unwrap() }
        });
        assert_eq!(futures_util::future::join_all(calls).await, (0..8).collect::<Vec<_>>());
    }
    unmoved(world).await;
}

#[tokio::test]
async fn the_value_or_a_default() {
    let world = World::up().await;
    let get = cmd("GET").arg("key").to_owned();
    let _: () = world.redis.query(cmd("SET").arg("key").arg(7)).await.unwrap();
    let found = world.redis.query_or::<Option<i32>>(&get, None).await.unwrap();
    assert_eq!((found.value, found.source), (Some(7), Source::Redis));
    assert!(!world.monitor().uses_fallback());
    world.server.kill();
    world.reaches(State::Disconnected).await;
    let found = world.redis.query_or::<Option<i32>>(&get, Some(0)).await.unwrap();
    assert_eq!((found.value, found.source), (Some(0), Source::Fallback));
    assert!(world.monitor().uses_fallback());
    let error = world.redis.query::<Option<i32>>(&get).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unavailable()), (ErrorKind::Unavailable, true));
}

/// The server's own words are shown as far as they are fixed, and nothing of keys and values.
#[tokio::test]
async fn a_refusal_of_one_command_says_why_and_no_value() {
    let world = World::up().await;
    for (command, shown) in [
        (cmd("SET").arg("QX4-key").arg("QX4-value"), ""),
        (cmd("INCR").arg("QX4-key"), "ERR value is not an integer or out of range"),
        (
            cmd("LPUSH").arg("QX4-key").arg("QX4-value"),
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (cmd("QX4-COMMAND").arg("QX4-value"), "ERR unknown command"),
        (cmd("GET").arg("QX4-key").arg("QX4-value"), "ERR wrong number of arguments"),
        (cmd("EVALSHA").arg("QX4").arg(0), "NOSCRIPT No matching script"),
        (cmd("EVAL").arg("return redis.error_reply(ARGV[1])").arg(0).arg("ERR QX4 value"), "ERR"),
    ] {
        match world.redis.query::<redis::Value>(command).await {
            Ok(_) => assert_eq!(shown, ""),
            Err(error) => {
                assert_eq!(error.to_string(), format!("Redis refused the command: {shown}"));
                assert!(!format!("{error:?}").contains("QX4"), "{error:?}");
            }
        }
    }
}
