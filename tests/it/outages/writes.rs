//! Reads go on while writes do not: the state stays connected, and says so.

use std::{path::PathBuf, time::Duration};

use evenkeel::health::State;
use redis::cmd;

use super::{
    LONG, PROMISE, SLACK, Traffic, World,
    support::{RedisServer, eventually, free_port},
};

/// Writes go and come back; reads, and routes that can do without, never fail.
async fn without_writes(
    server: RedisServer,
    seen_as: &str,
    begin: impl AsyncFnOnce(&World),
    end: impl AsyncFnOnce(&World),
) -> World {
    let mut world = World::up_with(server, |config| config).await;
    let traffic = Traffic::start(&world.app);
    begin(&world).await;
    // Redis may be suspect for a moment: a write that hangs holds up its connection.
    world.becomes("without writes", |monitor| monitor.can_read() && !monitor.can_write()).await;
    assert_eq!(world.last_fault(), seen_as);
    traffic.seen();
    let served = traffic_for(&traffic, Duration::from_millis(1500)).await;
    assert!(served.count("/reads", 200) > 0, "{served:?}");
    assert_eq!(served.refused("/reads") + served.refused("/soft"), 0, "{served:?}");
    assert_eq!(served.count("/strict", 200) + served.count("/strict", 500), 0, "{served:?}");
    let refused = super::app::ask(&world.app, "/health").await;
    assert!(refused.1.contains("\"status\":\"degraded\""), "{}", refused.1);

    end(&world).await;
    let ended = std::time::Instant::now();
    assert!(eventually(LONG, || async { world.monitor().is_available() }).await);
    let recovered = ended.elapsed();
    assert!(recovered < PROMISE + SLACK, "back after {recovered:?}");
    let seen = traffic_for(&traffic, Duration::from_millis(100)).await;
    assert!(seen.count("/strict", 200) > 0, "{seen:?}");
    assert!(seen.longest.max(served.longest) < world.op_timeout() + SLACK, "{served:?} {seen:?}");
    let connected = |writes| (State::Connected, writes);
    assert_eq!(world.history(), [connected(true), connected(false), connected(true)]);
    world.assert_one_line_a_transition();
    assert_eq!(world.monitor().status().outages, 0);
    world
}

async fn traffic_for(traffic: &Traffic, time: Duration) -> super::traffic::Seen {
    tokio::time::sleep(time).await;
    traffic.seen()
}

async fn set(server: &RedisServer, name: &str, value: &str) {
    server.cli(&["CONFIG", "SET", name, value]).await.unwrap();
}

#[tokio::test]
async fn oom() {
    let begin = async |world: &World| set(&world.server, "maxmemory", "1").await;
    let end = async |world: &World| set(&world.server, "maxmemory", "0").await;
    without_writes(RedisServer::start().await, "writes gone: OOM", begin, end).await;
}

#[tokio::test]
async fn noreplicas() {
    let begin = async |world: &World| set(&world.server, "min-replicas-to-write", "1").await;
    let end = async |world: &World| set(&world.server, "min-replicas-to-write", "0").await;
    without_writes(RedisServer::start().await, "writes gone: NOREPLICAS", begin, end).await;
}

/// PING is refused then, and reads are not.
#[tokio::test]
async fn misconf() {
    let begin = async |world: &World| {
        let server = &world.server;
        let dir: (String, String) = server.query(&["CONFIG", "GET", "dir"]).await.unwrap();
        std::fs::create_dir(PathBuf::from(dir.1).join("dump.rdb")).unwrap();
        set(server, "save", "900 1").await;
        server.cli(&["BGSAVE"]).await.unwrap();
        let failed = eventually(LONG, || async {
            let status = server.info_field("persistence", "rdb_last_bgsave_status").await;
            status.as_deref() == Some("err")
        });
        assert!(failed.await);
    };
    let end = async |world: &World| {
        set(&world.server, "stop-writes-on-bgsave-error", "no").await;
    };
    without_writes(RedisServer::start().await, "writes gone: MISCONF", begin, end).await;
}

#[tokio::test]
async fn readonly_replica_and_promoted_again() {
    let begin = async |world: &World| {
        // Of a master that is not there: it keeps what it has and serves it.
        let nobody = free_port().to_string();
        world.server.cli(&["REPLICAOF", "127.0.0.1", &nobody]).await.unwrap();
    };
    let end = async |world: &World| world.server.promote().await;
    without_writes(RedisServer::start().await, "wrong node: READONLY", begin, end).await;
}

/// Nothing is answered then to a write, nor to what follows it on its connection.
#[tokio::test]
async fn client_pause_write() {
    let begin = async |world: &World| {
        world.server.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]).await.unwrap();
    };
    let end = async |world: &World| {
        world.server.cli(&["CLIENT", "UNPAUSE"]).await.unwrap();
    };
    without_writes(RedisServer::start().await, "writes gone: hang", begin, end).await;
}

/// Reads that are under way while the connections are renewed are answered.
#[tokio::test]
async fn renewal_loses_no_read() {
    let world = World::up().await;
    let nobody = free_port().to_string();
    world.server.cli(&["REPLICAOF", "127.0.0.1", &nobody]).await.unwrap();
    let _ = world.redis.query::<()>(cmd("SET").arg("key").arg(1)).await;
    world.becomes("without writes", |monitor| monitor.can_read() && !monitor.can_write()).await;
    let (accepted, began) = (world.proxy.accepted(), std::time::Instant::now());
    let renewals = || world.proxy.accepted() - accepted;
    while renewals() < 5 && began.elapsed() < LONG {
        let batch = (0..32).map(|_| async {
            world.redis.query::<Option<u8>>(cmd("GET").arg("key")).await.unwrap();
        });
        futures_util::future::join_all(batch).await;
    }
    assert!(renewals() >= 5, "{} renewals", renewals());
    // The handle's and the write probe's, each at most once in 0.85 s.
    let most = 2.0 * (began.elapsed().as_secs_f64() / 0.85 + 1.0);
    assert!(renewals() as f64 <= most, "{} connections, at most {most}", renewals());
}
