//! Proves the test kit itself: every fault is seen with a plain client, and goes away again.

mod faults;
mod framer;
mod logs;
mod ports;
mod proxy;
mod server;
mod topologies;

use std::time::{Duration, Instant};

use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, aio::MultiplexedConnection};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use crate::support::{FaultProxy, RedisServer};

/// For what must answer: long enough for a loaded machine.
const LONG: Duration = Duration::from_secs(20);
/// For what must not answer.
const SHORT: Duration = Duration::from_millis(250);

pub(super) async fn connect_within(
    url: &str,
    patience: Duration,
) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(Some(patience));
    Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await
}

pub(super) async fn connect(url: &str) -> MultiplexedConnection {
    connect_within(url, LONG).await.expect("a connection")
}

pub(super) async fn ping_within(
    connection: &mut MultiplexedConnection,
    patience: Duration,
) -> RedisResult<String> {
    connection.set_response_timeout(patience);
    redis::cmd("PING").query_async(connection).await
}

/// PING, and how long its answer took.
pub(super) async fn timed_ping(connection: &mut MultiplexedConnection) -> Duration {
    let asked = Instant::now();
    let answer = ping_within(connection, LONG).await;
    assert_eq!(answer.as_deref(), Ok("PONG"));
    asked.elapsed()
}

pub(super) async fn assert_answers(connection: &mut MultiplexedConnection) {
    timed_ping(connection).await;
}

pub(super) async fn assert_hangs(connection: &mut MultiplexedConnection) {
    let error = ping_within(connection, SHORT).await.expect_err("no answer");
    assert!(error.is_timeout(), "{error:?}");
}

pub(super) async fn assert_lost(connection: &mut MultiplexedConnection) {
    let error = ping_within(connection, LONG).await.expect_err("a lost connection");
    assert!(error.is_connection_dropped(), "{error:?}");
}

pub(super) async fn assert_refused(url: &str) {
    let error = connect_within(url, LONG).await.expect_err("a refused connection");
    assert!(error.is_connection_refusal(), "{error:?}");
}

/// Reads what is there; an end or silence fails the test.
pub(super) async fn read(socket: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = [0; 256];
    let length = timeout(LONG, socket.read(&mut bytes)).await.expect("no silence")?;
    assert_ne!(length, 0, "the connection has ended");
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

pub(super) fn code(error: &RedisError) -> &str {
    error.code().unwrap_or_default()
}

pub(super) async fn proxied() -> (RedisServer, FaultProxy) {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    (server, proxy)
}
