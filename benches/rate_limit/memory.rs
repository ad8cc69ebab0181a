//! Through the layer, without Redis.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{body::Body, extract::ConnectInfo};
use criterion::{Criterion, Throughput};
use evenkeel::{
    config::RedisConfig,
    layer::rate_limit::{HeaderStyle, RateLimitLayer},
    redis::Redis,
    store::rate::{Quota, RateLimiter, Subject},
};
use futures_util::FutureExt;
use http::{Request, Response};
use tower::{Layer, Service, service_fn};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder};

/// Requests made at a time, outside of what is measured.
const BATCH: u64 = 256;
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

/// Time for `iterations` calls in all, on so many threads.
fn drive<S, T>(threads: u64, iterations: u64, make: impl Fn(u64) -> T + Sync, work: S) -> Duration
where
    S: FnMut(T) + Clone + Send,
    T: Send,
{
    let each = iterations.div_ceil(threads);
    let run = |thread: u64, mut work: S| {
        let (mut took, mut done) = (Duration::ZERO, 0);
        while done < each {
            let size = BATCH.min(each - done);
            let from = thread * 0x5555_5555 + done;
            let batch: Vec<T> = (from..from + size).map(&make).collect();
            let began = Instant::now();
            batch.into_iter().for_each(&mut work);
            took += began.elapsed();
            done += size;
        }
        took
    };
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                let work = work.clone();
                scope.spawn(move || run(thread, work))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    })
}

fn serve<S, B>(c: &mut Criterion, group: &str, name: &str, keys: u64, threads: u64, service: S)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync,
{
    let call = {
        let mut service = service;
        move |request| {
            let answer = service.call(request).now_or_never();
            black_box(answer.is_some());
        }
    };
    let mut warm = false;
    let mut group = c.benchmark_group(group);
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |b| {
        // Every key, so that growing is not measured.
        if !std::mem::replace(&mut warm, true) {
            drive(1, keys * 2, |n| request(n, keys), call.clone());
        }
        b.iter_custom(|n| drive(threads, n, |n| request(n, keys), call.clone()));
    });
    group.finish();
}

pub(crate) fn benches(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    // Nothing listens there.
    let redis = Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap();
    let quota = Quota::per_second(1_000_000).with_burst(BURST);
    for threads in [1, 2] {
        for keys in [1, 10_000, 1_000_000] {
            let group = format!("memory/{keys} keys, {threads} threads");
            let limiter = RateLimiter::new(&redis).with_max_subjects(2_000_000);
            let layer = RateLimitLayer::with_limiter(&limiter, quota.clone());
            let lean = layer.clone().with_headers(HeaderStyle::None).without_extensions();
            serve(c, &group, "bare service", keys, threads, service_fn(bare));
            serve(c, &group, "evenkeel", keys, threads, lean.layer(service_fn(bare)));
            let plain = layer.clone().without_extensions().layer(service_fn(bare));
            serve(c, &group, "evenkeel, headers", keys, threads, plain);
            let full = layer.layer(service_fn(bare));
            serve(c, &group, "evenkeel, headers and extensions", keys, threads, full);

            let mut config = GovernorConfigBuilder::default();
            config.per_nanosecond(1).burst_size(BURST);
            let lean = GovernorLayer::new(Arc::new(config.finish().unwrap()));
            serve(c, &group, "tower_governor", keys, threads, lean.layer(service_fn(bare)));
            let with_headers = GovernorLayer::new(Arc::new(config.use_headers().finish().unwrap()));
            let with_headers = with_headers.layer(service_fn(bare));
            serve(c, &group, "tower_governor, headers", keys, threads, with_headers);
        }
    }
    checks(c, &redis);
    refusals(c, &redis);
}

/// Without a layer round it.
fn checks(c: &mut Criterion, redis: &Redis) {
    for threads in [1, 2] {
        for keys in [1, 10_000, 1_000_000] {
            let make = |n| IpAddr::V4(address(n, keys));
            let mut group = c.benchmark_group(format!("check/{keys} keys, {threads} threads"));
            group.throughput(Throughput::Elements(1));
            let quota = governor::Quota::with_period(Duration::from_nanos(1)).unwrap();
            let governor =
                governor::RateLimiter::keyed(quota.allow_burst(NonZeroU32::new(BURST).unwrap()));
            let check = |key: IpAddr| drop(black_box(governor.check_key(&key)));
            let mut warm = false;
            group.bench_function("governor", |b| {
                if !std::mem::replace(&mut warm, true) {
                    drive(1, keys * 2, make, check);
                }
                b.iter_custom(|n| drive(threads, n, make, check));
            });

            let limiter = RateLimiter::new(redis).with_max_subjects(2_000_000);
            let policy = Quota::per_second(1_000_000).with_burst(BURST).into();
            let check = |key: IpAddr| {
                let who = Subject::address(key, 64);
                let decision = limiter.decide(&policy, &who, 1);
                black_box(decision.now_or_never());
            };
            let mut warm = false;
            group.bench_function("evenkeel", |b| {
                if !std::mem::replace(&mut warm, true) {
                    drive(1, keys * 2, make, check);
                }
                b.iter_custom(|n| drive(threads, n, make, check));
            });
            group.finish();
        }
    }
}

/// Those who are refused cost least.
fn refusals(c: &mut Criterion, redis: &Redis) {
    let ours = RateLimitLayer::new(redis, Quota::per_day(1));
    serve(c, "refusal/10000 keys, 1 threads", "evenkeel", 10_000, 1, ours.layer(service_fn(bare)));
    let mut config = GovernorConfigBuilder::default();
    config.per_second(86_400).burst_size(1);
    let theirs = GovernorLayer::new(Arc::new(config.use_headers().finish().unwrap()));
    serve(
        c,
        "refusal/10000 keys, 1 threads",
        "tower_governor, headers",
        10_000,
        1,
        theirs.layer(service_fn(bare)),
    );
}
