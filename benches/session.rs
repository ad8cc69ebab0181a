//! Sessions beside tower-sessions 0.15: `cargo bench --bench session`. Starts a `redis-server` of
//! its own.
//!
//! `-- network` and `-- stored` run those comparisons alone.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

#[path = "session/network.rs"]
mod network;
#[path = "support/rounds.rs"]
mod rounds;
#[path = "session/stored.rs"]
mod stored;
#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

use std::{convert::Infallible, hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::Criterion;
use evenkeel::{
    layer::{Session, SessionLayer},
    redis::{Redis, RedisConfig},
    store::session::SessionKeys,
    testing::SealedSnapshot,
};
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sessions::{MemoryStore, SessionManagerLayer};

type Body = Full<Bytes>;
type Answer = Result<Response<Body>, Infallible>;

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
    kept(HeaderValue::from_static(""), &answer)
}

/// What a client shows after this answer: the id and the snapshot come together, or the snapshot
/// alone.
fn kept<B>(cookies: HeaderValue, answer: &Response<B>) -> HeaderValue {
    let set = answer.headers().get_all(header::SET_COOKIE).iter();
    let set: Vec<_> = set.map(|v| v.to_str().unwrap().split(';').next().unwrap()).collect();
    match set.as_slice() {
        [] => cookies,
        [snapshot] if snapshot.starts_with("__Host-sd=") => {
            let id = cookies.to_str().unwrap().split(';').next().unwrap();
            format!("{id}; {snapshot}").parse().unwrap()
        }
        all => all.join("; ").parse().unwrap(),
    }
}

fn one<S, B>(
    c: &mut Criterion,
    group: &str,
    name: &str,
    service: S,
    path: &str,
    cookies: &HeaderValue,
) where
    S: Service<Request<()>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
{
    one_of_many(c, group, name, service, path, std::slice::from_ref(cookies));
}

/// More clients than are remembered.
fn clients<S, B>(runtime: &Runtime, service: &S, size: usize) -> Vec<HeaderValue>
where
    S: Service<Request<()>, Response = Response<B>> + Clone,
    S::Error: std::fmt::Debug,
{
    (0..4_096).map(|_| runtime.block_on(cookies(service.clone(), size))).collect()
}

/// The same, each time for another client.
fn one_of_many<S, B>(
    c: &mut Criterion,
    group: &str,
    name: &str,
    mut service: S,
    path: &str,
    clients: &[HeaderValue],
) where
    S: Service<Request<()>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
{
    let mut group = c.benchmark_group(group);
    let mut turn = clients.iter().cycle();
    group.bench_function(name, |b| {
        b.iter_batched(
            || request(path, turn.next().unwrap()),
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

/// Nobody listens there.
fn gone() -> Redis {
    Redis::new(RedisConfig::new("redis://127.0.0.1:9".parse().unwrap())).unwrap()
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
    let ours = layer(&gone()).layer(service_fn(ours));
    let theirs = SessionManagerLayer::new(MemoryStore::default()).layer(service_fn(theirs));
    for size in [16, 1_024] {
        let group = format!("degraded {size} bytes");
        let our_cookies = runtime.block_on(cookies(ours.clone(), size));
        let their_cookies = runtime.block_on(cookies(theirs.clone(), size));
        one(c, &group, "read: evenkeel", ours.clone(), "/read", &our_cookies);
        let name = "read: evenkeel, each time another client";
        one_of_many(c, &group, name, ours.clone(), "/read", &clients(&runtime, &ours, size));
        one(c, &group, "read: tower-sessions, memory", theirs.clone(), "/read", &their_cookies);
        let name = "read: tower-sessions, memory, each time another client";
        one_of_many(c, &group, name, theirs.clone(), "/read", &clients(&runtime, &theirs, size));
        let path = format!("/write?{size}");
        one(c, &group, "write: evenkeel", ours.clone(), &path, &our_cookies);
        one(c, &group, "write: tower-sessions, memory", theirs.clone(), &path, &their_cookies);
    }
}

/// The cryptography and the coding of a snapshot alone.
fn sealing(c: &mut Criterion) {
    let mut group = c.benchmark_group("snapshot");
    for size in [16, 1_024] {
        let snapshot = SealedSnapshot::new(size);
        group.bench_function(format!("seal, {size} bytes"), |b| b.iter(|| snapshot.seal()));
        group.bench_function(format!("open, {size} bytes"), |b| {
            b.iter(|| assert!(snapshot.open()));
        });
    }
    group.finish();
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    let named = |word: &str| arguments.iter().any(|argument| argument == word);
    if named("network") {
        return network::compare(&runtime);
    }
    if named("stored") {
        return stored::compare(&runtime);
    }
    let mut criterion = Criterion::default().configure_from_args();
    untouched(&mut criterion);
    degraded(&mut criterion);
    sealing(&mut criterion);
    criterion.final_summary();
    // Unless something was asked for by name.
    if arguments.iter().skip(1).all(|argument| argument == "--bench") {
        network::compare(&runtime);
        stored::compare(&runtime);
    }
}
