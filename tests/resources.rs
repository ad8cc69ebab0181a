//! What the handle costs the process that holds it: memory while idle, descriptors after calls that
//! were cancelled. One test in a process of its own: both are the process' figures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
#![cfg(target_os = "linux")]

#[allow(dead_code, unused_imports)]
mod support;

use std::time::Duration;

use axum::{Router, routing::get};
use evenkeel::{
    health::HealthConfig,
    health_router::HealthRouter,
    layer::{CheckRedisLayer, RequireRedisLayer},
    redis::{Redis, RedisConfig},
    telemetry::Metrics,
};
use redis::cmd;
use support::{RedisServer, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const LONG: Duration = Duration::from_secs(20);
const MOST: u64 = 5_000_000;

/// What this process has in memory that is not a file's: heap and stacks.
fn memory() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Serves `app`, and has it asked a few times.
async fn serve(app: Router) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    for path in ["/", "/strict", "/"] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

fn routes() -> Router {
    Router::new().route("/", get(|| async { "ok" })).route("/strict", get(|| async { "ok" }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_descriptors() {
    let server = RedisServer::start().await;
    server.cli(&["SET", "key", "value"]).await.unwrap();
    serve(routes()).await;
    let bare = memory();

    let metrics = Metrics::prometheus("resources", "test");
    let health = HealthConfig::new("redis").with_probe_interval(Duration::from_millis(50));
    let config = RedisConfig::new(server.url().parse().unwrap())
        .with_health(health)
        .with_metrics(metrics.clone());
    let redis = Redis::new(config).unwrap();
    let monitor = redis.monitor();
    assert!(monitor.wait_available(LONG).await);
    let app = routes()
        .route_layer(RequireRedisLayer::new(monitor))
        .layer(CheckRedisLayer::new(monitor))
        .merge(HealthRouter::new(monitor).with_metrics(&metrics));
    serve(app).await;
    // Idle, and long enough for some probes of every kind.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let more = memory().saturating_sub(bare);
    println!("monitor, handle and layers idle: {} kB over the bare server", more / 1000);
    assert!(more < MOST, "{more} bytes more than the bare server");

    let descriptors_before = descriptors();
    for _ in 0..10 {
        let calls = (0..1_000).map(|n| {
            let redis = redis.clone();
            tokio::spawn(async move {
                let get = cmd("GET").arg("key").to_owned();
                let call = redis.query::<String>(&get);
                let _ = tokio::time::timeout(Duration::from_micros(n % 20 * 50), call).await;
            })
        });
        futures_util::future::join_all(calls).await;
    }
    assert!(monitor.wait_available(LONG).await);
    let back = eventually(LONG, || async { descriptors() <= descriptors_before }).await;
    assert!(back, "{} descriptors, before {descriptors_before}", descriptors());
}
