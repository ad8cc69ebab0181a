//! What the two layers cost: `cargo bench --bench layers`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use evenkeel::{
    health::Fault,
    layer::{CheckRedisLayer, RequireRedisLayer},
    testing,
};
use futures_util::FutureExt;
use http::{Request, Response};
use tower::{Layer, Service, service_fn};

fn bare(request: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    drop(black_box(request));
    ready(Ok(Response::new(())))
}

fn asking(c: &mut Criterion) {
    let (monitor, mut control) = testing::monitor();
    control.up();
    let mut group = c.benchmark_group("ask");
    // Shared, as the word of the monitor is: requests ask, a task sets.
    let flag = Arc::new(AtomicBool::new(true));
    group.bench_function("relaxed load", |b| b.iter(|| black_box(&flag).load(Ordering::Relaxed)));
    group.bench_function("is_available", |b| b.iter(|| black_box(&monitor).is_available()));
    group.finish();
}

fn call<S, B>(c: &mut Criterion, name: &str, mut service: S, request: fn() -> Request<()>)
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    c.bench_function(name, |b| {
        b.iter_batched(
            request,
            |request| service.call(request).now_or_never(),
            BatchSize::SmallInput,
        );
    });
}

fn extended() -> Request<()> {
    let mut request = Request::new(());
    request.extensions_mut().insert(1_u8);
    request
}

fn serving(c: &mut Criterion) {
    let (monitor, mut control) = testing::monitor();
    control.up();
    let require = RequireRedisLayer::new(&monitor);
    let check = CheckRedisLayer::new(&monitor);
    call(c, "serve/bare", service_fn(bare), Request::default);
    call(c, "serve/RequireRedis", require.layer(service_fn(bare)), Request::default);
    call(c, "serve/CheckRedis", check.layer(service_fn(bare)), Request::default);
    let sparing = check.clone().only_when_degraded();
    let name = "serve/CheckRedis only_when_degraded";
    call(c, name, sparing.layer(service_fn(bare)), Request::default);
    call(c, "serve extended/bare", service_fn(bare), extended);
    call(c, "serve extended/RequireRedis", require.layer(service_fn(bare)), extended);
    call(c, "serve extended/CheckRedis", check.layer(service_fn(bare)), extended);
    control.down(Fault::HANG);
    call(c, "refuse/RequireRedis", require.layer(service_fn(bare)), Request::default);
}

criterion_group!(benches, asking, serving);
criterion_main!(benches);
