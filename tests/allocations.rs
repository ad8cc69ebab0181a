//! What the layers allocate, counted.

#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
};

use allocation_counter::measure;
use evenkeel::{
    layer::{
        CheckRedisLayer, RateLimitLayer, RequireRedisLayer, client_key::PeerAddr,
        rate_limit::HeaderStyle,
    },
    redis::{Redis, RedisConfig},
    store::rate::Quota,
    testing,
};
use futures_util::FutureExt;
use http::{Request, Response};
use tower::{Layer, Service, service_fn};

fn bare(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    ready(Ok(Response::new(())))
}

/// Allocations of one call, after one that may warm things up.
fn allocations<S>(mut service: S, prepare: fn(&mut Request<()>)) -> u64
where
    S: Service<Request<()>>,
{
    let mut call = || {
        let mut request = Request::new(());
        prepare(&mut request);
        let counted = measure(|| drop(service.call(request).now_or_never().unwrap()));
        counted.count_total
    };
    call();
    call()
}

fn nothing(_: &mut Request<()>) {}

fn extended(request: &mut Request<()>) {
    request.extensions_mut().insert(1_u8);
}

#[test]
fn requiring_redis_allocates_nothing_while_it_is_there() {
    let (monitor, mut control) = testing::monitor();
    control.up();
    assert_eq!(allocations(service_fn(bare), nothing), 0);
    let require = RequireRedisLayer::new(&monitor);
    assert_eq!(allocations(require.layer(service_fn(bare)), nothing), 0);
    assert_eq!(allocations(require.reads_only().layer(service_fn(bare)), nothing), 0);
}

/// `http::Extensions` boxes every value, and itself at the first.
#[test]
fn telling_about_redis_allocates_the_extension_only() {
    let (monitor, mut control) = testing::monitor();
    control.up();
    let check = CheckRedisLayer::new(&monitor);
    assert_eq!(allocations(check.layer(service_fn(bare)), nothing), 3);
    assert_eq!(allocations(check.layer(service_fn(bare)), extended), 1);
    let sparing = check.clone().only_when_degraded();
    assert_eq!(allocations(sparing.layer(service_fn(bare)), nothing), 0);
    // A second one writes where the first has written.
    assert_eq!(allocations(check.layer(check.layer(service_fn(bare))), extended), 1);
}

/// Without Redis, of a client whose bucket is in memory.
#[tokio::test]
async fn limiting_rates_allocates_what_it_makes_known() {
    fn from_peer(request: &mut Request<()>) {
        request.extensions_mut().insert(PeerAddr(([203, 0, 113, 9], 1).into()));
    }
    // Nothing listens there.
    let redis = Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap();
    let layer = RateLimitLayer::new(&redis, Quota::per_second(1_000_000)).without_extensions();
    let silent = layer.clone().with_headers(HeaderStyle::None);
    assert_eq!(allocations(silent.layer(service_fn(bare)), from_peer), 0);
    // Two for the header map, one for each value, and one for both while the request is served.
    assert_eq!(allocations(layer.layer(service_fn(bare)), from_peer), 5);
}
