//! What the Redis handle costs, beside what users would use instead: `cargo bench --bench redis`.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "support/rounds.rs"]
mod rounds;
#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

use std::time::Duration;

use criterion::Criterion;
use evenkeel::redis::{
    Redis, RedisConfig,
    deadpool_redis::{self, redis},
};
use redis::{Cmd, aio::MultiplexedConnection};
use rounds::Way;
use support::RedisServer;
use tokio::runtime::Runtime;

fn get() -> Cmd {
    let mut get = redis::cmd("GET");
    get.arg("evenkeel:bench");
    get
}

async fn bare(mut conn: MultiplexedConnection) -> MultiplexedConnection {
    let _: Option<String> = get().query_async(&mut conn).await.unwrap();
    conn
}

async fn handle(redis: Redis) -> Redis {
    let _: Option<String> = redis.query(&get()).await.unwrap();
    redis
}

async fn kept(mut conn: evenkeel::redis::Connection) -> evenkeel::redis::Connection {
    let _: Option<String> = conn.query(&get()).await.unwrap();
    conn
}

async fn pooled(pool: deadpool_redis::Pool) -> deadpool_redis::Pool {
    let mut conn = pool.get().await.unwrap();
    let _: Option<String> = get().query_async(&mut conn).await.unwrap();
    drop(conn);
    pool
}

fn started(runtime: &Runtime, url: &str, connections: usize) -> Redis {
    runtime.block_on(async {
        let config = RedisConfig::new(url.parse().unwrap())
            .with_op_timeout(Duration::from_secs(10))
            .with_connections(connections);
        let redis = Redis::new(config).unwrap();
        assert!(redis.monitor().wait_available(Duration::from_secs(10)).await);
        redis
    })
}

fn throughput(runtime: &Runtime, url: &str) {
    let bare_conn = runtime.block_on(async {
        let client = redis::Client::open(url).unwrap();
        let mut conn = client.get_multiplexed_async_connection().await.unwrap();
        let _: () =
            redis::cmd("SET").arg("evenkeel:bench").arg("x").query_async(&mut conn).await.unwrap();
        conn
    });
    let (one, two) = (started(runtime, url, 1), started(runtime, url, 2));
    let pool = deadpool_redis::Config::from_url(url)
        .create_pool(Some(deadpool_redis::Runtime::Tokio1))
        .unwrap();
    let connection = one.connection();
    let mut ways = [
        Way::new("bare MultiplexedConnection", runtime, move || bare_conn.clone(), bare),
        Way::new("evenkeel, Redis::query", runtime, move || one.clone(), handle),
        Way::new(
            "evenkeel, a Connection of the task's own",
            runtime,
            move || connection.clone(),
            kept,
        ),
        Way::new("evenkeel, Redis::query, two connections", runtime, move || two.clone(), handle),
        Way::new("deadpool-redis, pool.get() per command", runtime, move || pool.clone(), pooled),
    ];
    rounds::alone("GET", 31, &mut ways);
    rounds::compare("GET", 64, 64_000, 11, &mut ways);
    rounds::compare("GET", 512, 102_400, 11, &mut ways);
}

fn refused(c: &mut Criterion, runtime: &Runtime) {
    let redis = runtime.block_on(async {
        // Nobody listens on port 1.
        Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap()
    });
    let get = get();
    let mut connection = redis.connection();
    let mut group = c.benchmark_group("while Redis is away");
    group.bench_function("a command is refused", |b| {
        b.to_async(runtime).iter(|| async { redis.query::<Option<String>>(&get).await.is_err() });
    });
    group.bench_function("through the client's own interface", |b| {
        b.iter(|| {
            runtime.block_on(async {
                get.query_async::<Option<String>>(&mut connection).await.is_err()
            })
        });
    });
    group.finish();
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(RedisServer::start());
    let arguments: Vec<String> = std::env::args().collect();
    let named = |word: &str| arguments.iter().any(|argument| argument == word);
    if !named("--test") {
        throughput(&runtime, &server.url());
    }
    if named("throughput") {
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    refused(&mut criterion, &runtime);
    criterion.final_summary();
}
