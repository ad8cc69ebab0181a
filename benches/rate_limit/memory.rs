//! Through the layer, without Redis.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{body::Body, extract::ConnectInfo};
use evenkeel::{
    layer::rate_limit::{HeaderStyle, RateLimitLayer},
    redis::{Redis, RedisConfig},
    store::rate::{Quota, RateLimiter, RatePolicy, Subject},
};
use futures_util::FutureExt;
use http::{Request, Response};
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder};

use crate::rounds::{self, Way};

/// Requests made at a time, outside of what is measured.
const BATCH: usize = 256;
/// Enough for any run.
const BURST: u32 = 4_000_000_000;

fn bare(request: Request<Body>) -> Ready<Result<Response<Body>, Infallible>> {
    drop(black_box(request));
    ready(Ok(Response::new(Body::empty())))
}

/// The n-th key out of so many, well mixed.
fn address(n: u64, keys: u64) -> Ipv4Addr {
    Ipv4Addr::from((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) as u32 % keys as u32)
}

fn request(n: u64, keys: u64) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    let peer = SocketAddr::from((address(n, keys), 1));
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

/// Time for so many calls on each of so many threads, without the time for making what they are
/// called with.
fn drive<S, T>(threads: usize, each: usize, make: impl Fn(u64) -> T + Sync, work: &S) -> Duration
where
    S: FnMut(T) + Clone + Sync,
{
    let run = |thread: usize| {
        let (mut work, mut took) = (work.clone(), Duration::ZERO);
        for from in (0..each).step_by(BATCH) {
            let from = (thread * 0x5555_5555 + from) as u64;
            let batch: Vec<T> = (from..from + BATCH as u64).map(&make).collect();
            let began = Instant::now();
            batch.into_iter().for_each(&mut work);
            took += began.elapsed();
        }
        took
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    })
}

fn calls<'a, S, B>(name: &'static str, keys: u64, service: S) -> Way<'a>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Sync + 'a,
{
    let call = {
        let mut service = service;
        move |request| {
            let answer = service.call(request).now_or_never();
            black_box(answer.is_some());
        }
    };
    way(name, keys, move |n| request(n, keys), call)
}

/// Begins with every key, so that growing is not measured.
fn way<'a, T>(
    name: &'static str,
    keys: u64,
    make: impl Fn(u64) -> T + Sync + 'a,
    work: impl FnMut(T) + Clone + Sync + 'a,
) -> Way<'a> {
    drive(1, 2 * keys as usize, &make, &work);
    Way::timed(name, move |threads, each| drive(threads, each, &make, &work))
}

fn limiter(redis: &Redis, keys: u64) -> RateLimiter {
    // The default for all but the largest.
    RateLimiter::builder(redis).with_capacity(100_000.max(2 * keys as usize)).build()
}

const EACH: usize = 800 * BATCH;
/// Of refusals, since one way takes its time over them.
const REFUSED: usize = 40 * BATCH;
const ROUNDS: usize = 15;

pub(crate) fn compare(runtime: &Runtime, asked: &dyn Fn(&str) -> bool) {
    let _guard = runtime.enter();
    // Nothing listens there.
    let redis = Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap();
    for (threads, keys) in
        [1, 2].into_iter().flat_map(|threads| [1, 10_000, 1_000_000].map(|keys| (threads, keys)))
    {
        let title = format!("memory/{keys} keys");
        if asked(&title) {
            rounds::nanoseconds(&title, threads, EACH, ROUNDS, &mut layers(&redis, keys));
        }
        let title = format!("check/{keys} keys");
        if asked(&title) {
            rounds::nanoseconds(&title, threads, EACH, ROUNDS, &mut checks(&redis, keys));
        }
        let title = format!("refusal/{keys} keys");
        if asked(&title) && keys <= 10_000 {
            rounds::nanoseconds(&title, threads, REFUSED, ROUNDS, &mut refusals(&redis, keys));
        }
    }
}

/// Admitted, through the layer.
fn layers<'a>(redis: &Redis, keys: u64) -> Vec<Way<'a>> {
    let quota = Quota::per_second(1_000_000).with_burst(BURST);
    let layer = RateLimitLayer::with_limiter(&limiter(redis, keys), quota);
    let lean = layer.clone().with_headers(HeaderStyle::None).without_extensions();
    let plain = layer.clone().without_extensions();

    let mut config = GovernorConfigBuilder::default();
    config.per_nanosecond(1).burst_size(BURST);
    let theirs = GovernorLayer::new(Arc::new(config.finish().unwrap()));
    let with_headers = GovernorLayer::new(Arc::new(config.use_headers().finish().unwrap()));
    vec![
        calls("bare service", keys, service_fn(bare)),
        calls("evenkeel", keys, lean.layer(service_fn(bare))),
        calls("tower_governor", keys, theirs.layer(service_fn(bare))),
        calls("evenkeel, headers", keys, plain.layer(service_fn(bare))),
        calls("tower_governor, headers", keys, with_headers.layer(service_fn(bare))),
        calls("evenkeel, headers and extensions", keys, layer.layer(service_fn(bare))),
    ]
}

/// Admitted, without a layer.
fn checks<'a>(redis: &Redis, keys: u64) -> Vec<Way<'a>> {
    let make = move |n| IpAddr::V4(address(n, keys));
    let quota = governor::Quota::with_period(Duration::from_nanos(1)).unwrap();
    let governor = governor::RateLimiter::keyed(quota.allow_burst(BURST.try_into().unwrap()));
    let governor = Arc::new(governor);
    let limiter = limiter(redis, keys);
    let policy: RatePolicy = Quota::per_second(1_000_000).with_burst(BURST).into();
    vec![
        way("governor", keys, make, move |key| drop(black_box(governor.check_key(&key)))),
        way("evenkeel", keys, make, move |key| {
            let who = Subject::address(key, 64);
            let decision = limiter.decide(&policy, &who, 1);
            black_box(decision.now_or_never());
        }),
    ]
}

/// Refused, through the layer.
fn refusals<'a>(redis: &Redis, keys: u64) -> Vec<Way<'a>> {
    let ours = RateLimitLayer::with_limiter(&limiter(redis, keys), Quota::per_day(1));
    let lean = ours.clone().with_headers(HeaderStyle::None).without_extensions();
    let mut config = GovernorConfigBuilder::default();
    config.per_second(86_400).burst_size(1);
    let theirs = GovernorLayer::new(Arc::new(config.finish().unwrap()));
    let with_headers = GovernorLayer::new(Arc::new(config.use_headers().finish().unwrap()));
    vec![
        calls("bare service", keys, service_fn(bare)),
        calls("evenkeel", keys, lean.layer(service_fn(bare))),
        calls("tower_governor", keys, theirs.layer(service_fn(bare))),
        calls("evenkeel, headers and extensions", keys, ours.layer(service_fn(bare))),
        calls("tower_governor, headers", keys, with_headers.layer(service_fn(bare))),
    ]
}
