//! The ways to reach one server.

use evenkeel::{health::State, redis::Redis};
use redis::cmd;

use super::{
    LONG,
    support::{LogCapture, RedisServer, eventually},
    world::handle,
};

async fn incremented(redis: &Redis) -> Result<u32, evenkeel::Error> {
    redis.query(cmd("INCR").arg("key")).await
}

#[tokio::test]
async fn a_unix_socket() {
    let _logs = LogCapture::start();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("redis.sock");
    let server = RedisServer::builder().arg("unixsocket", socket.display()).start().await;
    let redis = handle(&format!("unix://{}", socket.display()));
    assert!(redis.monitor().wait_available(LONG).await, "{redis:?}");
    assert_eq!(incremented(&redis).await.unwrap(), 1);

    server.freeze();
    assert!(incremented(&redis).await.unwrap_err().is_unavailable());
    server.thaw();
    assert!(eventually(LONG, || async { incremented(&redis).await.is_ok() }).await, "{redis:?}");

    server.kill();
    let away = eventually(LONG, || async { redis.monitor().state() == State::Disconnected }).await;
    assert!(away, "{redis:?}");
    server.restart().await;
    assert!(eventually(LONG, || async { incremented(&redis).await.is_ok() }).await, "{redis:?}");
}

/// `localhost` is mostly `::1` as well, where nobody listens.
#[tokio::test]
async fn a_name_with_several_addresses() {
    let _logs = LogCapture::start();
    let server = RedisServer::start().await;
    let redis = handle(&format!("redis://localhost:{}", server.port()));
    assert!(redis.monitor().wait_available(LONG).await, "{redis:?}");
    assert_eq!(incremented(&redis).await.unwrap(), 1);
}
