//! What guarding costs: `cargo bench --all-features --bench guards`.
//!
//! The first group is criterion's; the figures after it are of whole runs, each beside its peer in the same run.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    time::{Duration, Instant, SystemTime},
};

use criterion::{BatchSize, Criterion};
use evenkeel::{
    config::RedisConfig,
    health::Backoff,
    layer::RevocationLayer,
    redis::{Redis, deadpool_redis::redis as client},
    store::{
        lockout::{Lockout, LockoutPolicy, Verdict},
        rate::Subject,
        revocation::{RevocationConfig, Revocations, Token},
    },
};
use futures_util::FutureExt;
use http::{Request, Response, request::Parts};
use support::RedisServer;
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};

const TASKS: u64 = 64;
const ROUNDS: u64 = 5;

fn handle(server: &RedisServer) -> Redis {
    let config = RedisConfig::new(server.url().parse().unwrap());
    let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(20));
    let health = config.health().clone().with_backoff(backoff);
    Redis::new(config.with_health(health)).unwrap()
}

async fn in_step(redis: &Redis, config: RevocationConfig) -> Revocations {
    let revocations = Revocations::new(redis, config);
    while !(redis.monitor().is_available() && revocations.is_in_step()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    revocations
}

async fn away(redis: &Redis) {
    while redis.monitor().can_read() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

fn bare(request: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    drop(black_box(request));
    ready(Ok(Response::new(())))
}

fn token(request: &Parts) -> Option<Token> {
    request.headers.get("x-token").map(Token::new)
}

fn plain() -> Request<()> {
    Request::builder().header("x-token", "5f0c9f2e-7d1b-4a53-9d0b-0f3a7b1c2d3e").body(()).unwrap()
}

/// As any server leaves it: with something in the extensions.
fn extended() -> Request<()> {
    let mut request = plain();
    request.extensions_mut().insert(1_u8);
    request
}

fn call<S, B>(c: &mut Criterion, name: &str, mut service: S, request: fn() -> Request<()>)
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    c.bench_function(name, |b| {
        let call = |request| service.call(request).now_or_never();
        b.iter_batched(request, call, BatchSize::SmallInput);
    });
}

fn from_memory(c: &mut Criterion, runtime: &Runtime) {
    let server = runtime.block_on(RedisServer::start());
    let revocations = runtime.block_on(async {
        let redis = handle(&server);
        let revocations = in_step(&redis, RevocationConfig::default()).await;
        for n in 0..10_000 {
            let _ = revocations.revoke(n.to_string(), in_an_hour()).await.unwrap();
        }
        server.kill();
        away(&redis).await;
        revocations
    });
    let _guard = runtime.enter();
    let layer = RevocationLayer::new(&revocations, token);
    call(c, "serve/bare", service_fn(bare), plain);
    call(c, "serve/Revocation, clear from memory", layer.layer(service_fn(bare)), plain);
    call(c, "serve extended/bare", service_fn(bare), extended);
    call(
        c,
        "serve extended/Revocation, clear from memory",
        layer.layer(service_fn(bare)),
        extended,
    );
    let known = Token::new("77");
    let name = "check_here/known to be revoked";
    c.bench_function(name, |b| b.iter(|| revocations.check_here(black_box(&known))));
    let clear = Token::new("clear");
    let name = "check_here/clear from memory";
    c.bench_function(name, |b| b.iter(|| revocations.check_here(black_box(&clear))));
    c.bench_function("Token::new", |b| {
        b.iter(|| Token::new(black_box("5f0c9f2e-7d1b-4a53-9d0b-0f3a7b1c2d3e")))
    });
}

/// Calls a second, of so many tasks at once.
async fn rate<F, Fut>(each: u64, call: F) -> f64
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let began = Instant::now();
    let tasks = (0..TASKS).map(|_| {
        let call = call.clone();
        tokio::spawn(async move {
            for _ in 0..each {
                call().await;
            }
        })
    });
    futures_util::future::join_all(tasks).await;
    (TASKS * each) as f64 / began.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

async fn healthy() {
    let server = RedisServer::start().await;
    let redis = handle(&server);
    let revocations = in_step(&redis, RevocationConfig::default()).await;
    let policy = LockoutPolicy::new(5, Duration::from_secs(900)).unwrap();
    let lockout = Lockout::new(&redis, "bench", policy).unwrap();
    let shared = server.connect().await.unwrap();
    let each = 4_000;
    let (mut get, mut same, mut ours, mut logins) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let conn = shared.clone();
        get.push(
            rate(each, move || {
                let mut conn = conn.clone();
                async move {
                    let _: Option<String> = ::redis::cmd("GET")
                        .arg("evenkeel:none")
                        .query_async(&mut conn)
                        .await
                        .unwrap();
                }
            })
            .await,
        );
        let conn = shared.clone();
        same.push(
            rate(each, move || {
                let mut conn = conn.clone();
                async move {
                    let _: Vec<Option<Vec<u8>>> = ::redis::cmd("HMGET")
                        .arg("evenkeel:revocation:{table}")
                        .arg("*")
                        .arg("0123456789abcdef")
                        .query_async(&mut conn)
                        .await
                        .unwrap();
                }
            })
            .await,
        );
        let store = revocations.clone();
        ours.push(
            rate(each, move || {
                let store = store.clone();
                async move {
                    let decision = store.check(&Token::new("5f0c9f2e-7d1b-4a53")).await;
                    assert!(decision.is_admitted());
                }
            })
            .await,
        );
        let store = lockout.clone();
        logins.push(
            rate(each / 10, move || {
                let store = store.clone();
                async move {
                    let who = Subject::secret(rand::random::<u64>().to_le_bytes());
                    let Verdict::Admitted(attempt) = store.attempt(&who).await.unwrap().value
                    else {
                        return;
                    };
                    store.succeed(attempt).await.unwrap();
                }
            })
            .await,
        );
    }
    let (get, same, ours) = (median(get), median(same), median(ours));
    println!("healthy checks/s, {TASKS} tasks: {ours:.0}");
    println!("  bare shared connection, GET: {get:.0} (ratio {:.2})", ours / get);
    println!("  bare shared connection, the same HMGET: {same:.0} (ratio {:.2})", ours / same);
    println!("lockout, attempt and succeed (two scripts), logins/s: {:.0}", median(logins));
}

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0 / 1e6
}

async fn a_million() {
    let server = RedisServer::start().await;
    let redis = handle(&server);
    let revocations = in_step(&redis, RevocationConfig::default()).await;
    server.kill();
    away(&redis).await;
    let before = resident();
    let (until, began) = (in_an_hour(), Instant::now());
    for n in 0..1_000_000_u32 {
        let _ = revocations.revoke(n.to_le_bytes(), until).await.unwrap();
    }
    let (took, grew) = (began.elapsed(), resident() - before);
    assert_eq!(revocations.len(), 1_000_000);
    println!("1 000 000 revocations: {grew:.0} MB resident, noted in {took:.1?}");
}

/// An outage with 100 000 revocations; then live requests of another instance while they are pushed.
async fn catch_up() {
    let server = RedisServer::start().await;
    let redis = handle(&server);
    let revocations = in_step(&redis, RevocationConfig::default()).await;
    redis.monitor().force_down("bench", Duration::from_secs(60));
    for n in 0..100_000_u32 {
        let _ = revocations.revoke(n.to_le_bytes(), in_an_hour()).await.unwrap();
    }
    let other = handle(&server);
    while !other.monitor().is_available() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let live = tokio::spawn(async move {
        let mut waits = Vec::new();
        loop {
            let began = Instant::now();
            let mut get = client::cmd("GET");
            let answer: Result<Option<String>, _> = other.query(get.arg("evenkeel:live")).await;
            waits.push(began.elapsed());
            if answer.is_err() || waits.len() > 3_000 {
                return (waits, answer.is_ok());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    redis.monitor().release();
    assert!(redis.monitor().wait_available(Duration::from_secs(60)).await);
    let took = began.elapsed();
    let held: usize = server.query(&["HLEN", "evenkeel:revocation:{table}"]).await.unwrap();
    assert_eq!(held, 100_002);
    let (mut waits, well) = live.await.unwrap();
    assert!(well, "a live request met a deadline");
    waits.sort();
    let (middle, most) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!(
        "100 000 pushed before connected: {took:.2?}; live GETs meanwhile: median {middle:.2?}, longest {most:.2?}"
    );
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let mut criterion = Criterion::default().configure_from_args();
    from_memory(&mut criterion, &runtime);
    criterion.final_summary();
    runtime.block_on(a_million());
    for _ in 0..3 {
        runtime.block_on(catch_up());
    }
    runtime.block_on(healthy());
}
