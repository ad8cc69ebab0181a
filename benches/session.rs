//! Sessions beside tower-sessions 0.15: `cargo bench --bench session`. Starts a `redis-server` of its own.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    convert::Infallible,
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evenkeel::{
    config::RedisConfig,
    layer::{Session, SessionLayer},
    redis::{Redis, deadpool_redis::redis::cmd},
    store::session::SessionKeys,
};
use futures_util::{FutureExt, future::join_all};
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sessions::{MemoryStore, SessionManagerLayer};

#[path = "../tests/support/mod.rs"]
mod support;

type Body = Full<Bytes>;
type Answer = Result<Response<Body>, Infallible>;

/// Requests under way at once.
const TASKS: usize = 64;

fn done() -> Response<Body> {
    Response::new(Body::default())
}

async fn bare(request: Request<()>) -> Answer {
    drop(black_box(request));
    Ok(done())
}

async fn ours(request: Request<()>) -> Answer {
    let session = request.extensions().get::<Session>().unwrap().clone();
    match request.uri().path() {
        "/start" => session.insert("value", "x".repeat(size(&request))).await.unwrap(),
        "/write" => session.insert("value", "y".repeat(size(&request))).await.unwrap(),
        _ => {
            let value: Option<String> = session.get("value").await.unwrap();
            assert!(black_box(value).is_some());
        }
    }
    Ok(done())
}

async fn theirs(request: Request<()>) -> Answer {
    let session = request.extensions().get::<tower_sessions::Session>().unwrap().clone();
    match request.uri().path() {
        "/start" => session.insert("value", "x".repeat(size(&request))).await.unwrap(),
        "/write" => session.insert("value", "y".repeat(size(&request))).await.unwrap(),
        _ => {
            let value: Option<String> = session.get("value").await.unwrap();
            assert!(black_box(value).is_some());
        }
    }
    Ok(done())
}

/// The size of the value: 16 bytes unless the query says.
fn size(request: &Request<()>) -> usize {
    request.uri().query().map_or(16, |query| query.parse().unwrap())
}

fn request(path: &str, cookies: &HeaderValue) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = path.parse().unwrap();
    request.headers_mut().insert(header::COOKIE, cookies.clone());
    request
}

/// The cookies of a session that holds a value of this size.
async fn cookies<S, B>(service: S, size: usize) -> HeaderValue
where
    S: Service<Request<()>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
{
    let start = Request::builder().uri(format!("/start?{size}")).body(()).unwrap();
    let answer = service.oneshot(start).await.unwrap();
    let set = answer.headers().get_all(header::SET_COOKIE).iter();
    let pairs: Vec<_> = set.map(|v| v.to_str().unwrap().split(';').next().unwrap()).collect();
    pairs.join("; ").parse().unwrap()
}

fn one<S, B>(
    c: &mut Criterion,
    group: &str,
    name: &str,
    mut service: S,
    path: &str,
    cookies: &HeaderValue,
) where
    S: Service<Request<()>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
{
    let mut group = c.benchmark_group(group);
    group.bench_function(name, |b| {
        b.iter_batched(
            || request(path, cookies),
            |request| service.call(request).now_or_never().unwrap().unwrap(),
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

async fn connected(url: &str) -> Redis {
    let redis = Redis::new(RedisConfig::new(url.parse().unwrap())).unwrap();
    assert!(redis.monitor().wait_available(Duration::from_secs(10)).await);
    redis
}

fn layer(redis: &Redis) -> SessionLayer {
    SessionLayer::new(redis, SessionKeys::random()).with_stateless_keys(["value"])
}

/// What a session costs that nobody touches.
fn untouched(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(support::RedisServer::start());
    let redis = runtime.block_on(connected(&server.url()));
    let nobody = HeaderValue::from_static("a=b");
    let ours = layer(&redis).layer(service_fn(bare));
    let theirs = SessionManagerLayer::new(MemoryStore::default()).layer(service_fn(bare));
    one(c, "untouched", "bare", service_fn(bare), "/", &nobody);
    one(c, "untouched", "evenkeel", ours, "/", &nobody);
    one(c, "untouched", "tower-sessions, memory", theirs, "/", &nobody);
}

/// Served from the snapshot, end to end; beside what never leaves the process.
fn degraded(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let _guard = runtime.enter();
    // Nobody listens there.
    let redis = Redis::new(RedisConfig::new("redis://127.0.0.1:9".parse().unwrap())).unwrap();
    let ours = layer(&redis).layer(service_fn(ours));
    let theirs = SessionManagerLayer::new(MemoryStore::default()).layer(service_fn(theirs));
    for size in [16, 1_024] {
        let group = format!("degraded {size} bytes");
        let our_cookies = runtime.block_on(cookies(ours.clone(), size));
        let their_cookies = runtime.block_on(cookies(theirs.clone(), size));
        one(c, &group, "read: evenkeel", ours.clone(), "/read", &our_cookies);
        one(c, &group, "read: tower-sessions, memory", theirs.clone(), "/read", &their_cookies);
        let path = format!("/write?{size}");
        one(c, &group, "write: evenkeel", ours.clone(), &path, &our_cookies);
        one(c, &group, "write: tower-sessions, memory", theirs.clone(), &path, &their_cookies);
    }
}

/// Reads through Redis, many at once: one command each, beside that command alone.
fn stored(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(support::RedisServer::start());
    let redis = runtime.block_on(connected(&server.url()));
    let service = layer(&redis).layer(service_fn(ours));
    let cookies = runtime.block_on(cookies(service.clone(), 16));
    let keys: Vec<String> =
        runtime.block_on(server.query(&["KEYS", "evenkeel:session:*"])).unwrap();
    let hgetall = cmd("HGETALL").arg(&keys[0]).to_owned();
    let mut group = c.benchmark_group("stored");
    group.throughput(Throughput::Elements(TASKS as u64));
    group.bench_function("read: the bare command", |b| {
        b.to_async(&runtime).iter_custom(|rounds| {
            many(rounds, || {
                let (mut connection, hgetall) = (redis.connection(), hgetall.clone());
                async move {
                    let hash: Vec<(String, String)> = connection.query(&hgetall).await.unwrap();
                    assert!(!black_box(hash).is_empty());
                }
            })
        });
    });
    for (name, path) in [("read: evenkeel", "/read"), ("write: evenkeel", "/write?16")] {
        group.bench_function(name, |b| {
            b.to_async(&runtime).iter_custom(|rounds| {
                many(rounds, || {
                    let (service, request) = (service.clone(), request(path, &cookies));
                    async move {
                        service.oneshot(request).await.unwrap();
                    }
                })
            });
        });
    }
    group.finish();
}

/// `rounds` of as many at once.
async fn many<F>(rounds: u64, work: impl Fn() -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let began = Instant::now();
    let tasks = (0..TASKS).map(|_| {
        let all: Vec<F> = (0..rounds).map(|_| work()).collect();
        tokio::spawn(async move {
            for one in all {
                one.await;
            }
        })
    });
    join_all(tasks.collect::<Vec<_>>()).await.into_iter().for_each(|done| done.unwrap());
    began.elapsed()
}

criterion_group!(benches, untouched, degraded, stored);
criterion_main!(benches);
