//! What the layers allocate, counted.

#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
};

use allocation_counter::measure;
use evenkeel::{
    layer::{CheckRedisLayer, RequireRedisLayer},
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
