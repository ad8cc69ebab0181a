//! Behind sentinels, and in a cluster.
#![cfg(all(feature = "sentinel", feature = "cluster"))]

use std::time::{Duration, Instant};

use evenkeel::{
    health::State,
    redis::{Redis, Script},
};
use redis::cmd;

use super::{
    LONG, SLACK,
    support::{Cluster, LogCapture, Sentinel, eventually},
    world::handle,
};

async fn write(redis: &Redis, key: &str, value: u32) -> Result<(), evenkeel::Error> {
    redis.query(cmd("SET").arg(key).arg(value)).await
}

/// Writes until it works, and says how long that took.
async fn written_again(redis: &Redis) -> Duration {
    let began = Instant::now();
    let back = eventually(LONG, || async { write(redis, "key", 2).await.is_ok() }).await;
    assert!(back, "{redis:?}");
    began.elapsed()
}

fn sentinel_url(set: &Sentinel) -> String {
    format!("redis-sentinel://{}/{}", set.sentinel.addr(), set.name())
}

#[tokio::test]
async fn sentinel_names_another_master() {
    let _logs = LogCapture::start();
    let set = Sentinel::start().await;
    let redis = handle(&sentinel_url(&set));
    assert!(redis.monitor().wait_available(LONG).await, "{redis:?}");
    assert_eq!(redis.monitor().details().topology, Some("sentinel"));
    write(&redis, "key", 1).await.unwrap();
    set.fail_over().await;
    // The old master takes writes until the sentinel makes it a replica; from then on they find the
    // new one.
    let moved = eventually(LONG, || async {
        let _ = write(&redis, "key", 2).await;
        set.replica.query::<u32>(&["GET", "key"]).await == Ok(2)
    });
    assert!(moved.await, "{redis:?}");
    assert!(redis.monitor().wait_available(LONG).await);
}

#[tokio::test]
async fn sentinel_loses_its_master() {
    let _logs = LogCapture::start();
    let set = Sentinel::start().await;
    let redis = handle(&sentinel_url(&set));
    assert!(redis.monitor().wait_available(LONG).await, "{redis:?}");
    set.master.kill();
    let away = eventually(LONG, || async { redis.monitor().state() == State::Disconnected }).await;
    // By then a failover may be over already.
    let asked = redis.query::<Option<u32>>(cmd("GET").arg("key")).await;
    assert!(away || asked.is_ok(), "{redis:?}");
    set.wait_for_failover().await;
    let took = written_again(&redis).await;
    assert!(took < super::PROMISE + SLACK, "after {took:?}");
    assert_eq!(set.replica.query::<u32>(&["GET", "key"]).await, Ok(2));
}

#[tokio::test]
async fn cluster() {
    let _logs = LogCapture::start();
    let cluster = Cluster::start(3).await;
    let hosts: Vec<_> = cluster.nodes.iter().map(|node| node.addr().to_string()).collect();
    let redis = handle(&format!("redis-cluster://{}", hosts.join(",")));
    let monitor = redis.monitor();
    assert!(monitor.wait_available(LONG).await, "{redis:?}");
    assert_eq!(monitor.details().topology, Some("cluster"));
    for key in 0..50 {
        write(&redis, &format!("key:{key}"), key).await.unwrap();
    }
    for key in 0..50 {
        let got = redis.query::<u32>(cmd("GET").arg(format!("key:{key}"))).await.unwrap();
        assert_eq!(got, key);
    }
    let script = Script::new("return redis.call('GET', KEYS[1])");
    let got: u32 = script.prepare(&["key:7"]).run(&mut redis.connection()).await.unwrap();
    assert_eq!(got, 7);
    let crossing = redis.query::<redis::Value>(cmd("MGET").arg("{a}1").arg("{b}2")).await;
    assert!(!crossing.is_err_and(|error| error.is_unavailable()), "about the command alone");
    assert!(monitor.is_available());

    // All of it stops: known within one wait; and found again.
    for node in &cluster.nodes {
        node.freeze();
    }
    let began = Instant::now();
    let asked = redis.query::<u32>(cmd("GET").arg("key:7")).await.unwrap_err();
    assert!(asked.is_unavailable(), "{asked}");
    assert!(began.elapsed() < Duration::from_millis(100) + SLACK, "{:?}", began.elapsed());
    assert!(eventually(LONG, || async { monitor.state() == State::Disconnected }).await);
    for node in &cluster.nodes {
        node.thaw();
    }
    written_again(&redis).await;
}
