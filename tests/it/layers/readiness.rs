//! The service that was polled ready is the one that is called, and waits are spent once a request.

use std::{convert::Infallible, future::ready, task::Poll};

use evenkeel::{
    health::{Fault, RequestBudget},
    layer::{CheckRedisLayer, RequireRedisLayer},
    testing::Strict,
};
use http::{Request, Response};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt, buffer::BufferLayer, limit::ConcurrencyLimitLayer,
    service_fn,
};

use super::{Body, done, up};

#[tokio::test]
async fn strict_under_everything() {
    let (monitor, mut control) = up();
    let strict = Strict::new(service_fn(done));
    let calls = strict.calls();
    let service = ServiceBuilder::new()
        .layer(CheckRedisLayer::new(&monitor))
        .layer(RequireRedisLayer::new(&monitor))
        .layer(BufferLayer::new(4))
        .layer(CheckRedisLayer::new(&monitor))
        .layer(RequireRedisLayer::new(&monitor))
        .layer(ConcurrencyLimitLayer::new(1))
        .service(strict);
    for round in 1..=5 {
        control.up();
        let answers = (0..8).map(|_| service.clone().oneshot(Request::default()));
        for answer in futures_util::future::join_all(answers).await {
            assert_eq!(answer.unwrap().status(), 200);
        }
        assert_eq!(calls.count(), round * 8);
        control.down(Fault::HANG);
        let answers = (0..8).map(|_| service.clone().oneshot(Request::default()));
        for answer in futures_util::future::join_all(answers).await {
            assert_eq!(answer.unwrap().status(), 503);
        }
        assert_eq!(calls.count(), round * 8);
    }
}

#[tokio::test]
async fn a_refusal_leaves_the_readiness_where_it_is() {
    let (monitor, mut control) = up();
    let strict = Strict::new(service_fn(done));
    let mut service =
        RequireRedisLayer::new(&monitor).layer(ConcurrencyLimitLayer::new(1).layer(strict));
    control.down(Fault::HANG);
    for _ in 0..3 {
        let answer = service.ready().await.unwrap().call(Request::default()).await.unwrap();
        assert_eq!(answer.status(), 503);
    }
    control.up();
    let answer = service.ready().await.unwrap().call(Request::default()).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
#[should_panic(expected = "polled ready")]
async fn the_strict_service_is_strict() {
    let mut strict = Strict::new(service_fn(done));
    strict.ready().await.unwrap();
    drop(strict.clone().call(Request::default()));
}

/// An error of its own, from readiness and from the call, goes through as it is.
#[derive(Debug, PartialEq)]
struct Own(&'static str);

#[derive(Clone)]
struct Fails;

impl Service<Request<Body>> for Fails {
    type Response = Response<Body>;
    type Error = Own;
    type Future = std::future::Ready<Result<Response<Body>, Own>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Own>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Err(Own("call")))
    }
}

fn same_error<S, B>(service: S) -> S
where
    S: Service<Request<B>, Error = Own>,
{
    service
}

#[tokio::test]
async fn the_error_type_is_the_inner_services() {
    let (monitor, _hand) = up();
    let service = same_error(CheckRedisLayer::new(&monitor).layer(Fails));
    assert_eq!(service.oneshot(Request::default()).await.unwrap_err(), Own("call"));
    let service = same_error(RequireRedisLayer::new(&monitor).layer(Fails));
    assert_eq!(service.oneshot(Request::default()).await.unwrap_err(), Own("call"));
}

#[tokio::test]
async fn a_request_has_one_budget_through_all_layers() {
    let (monitor, _hand) = up();
    let handler = service_fn(|_: Request<Body>| async {
        let before = RequestBudget::is_exhausted();
        RequestBudget::exhaust();
        tokio::task::yield_now().await;
        let after = RequestBudget::is_exhausted();
        Ok::<_, Infallible>(Response::new(Body::from(format!("{before} {after}"))))
    });
    let check = CheckRedisLayer::new(&monitor);
    let require = RequireRedisLayer::new(&monitor);
    for _ in 0..2 {
        let answer = check.layer(handler).oneshot(Request::default()).await.unwrap();
        assert_eq!(super::text(answer).await, "false true");
        let nested = require.layer(check.layer(handler));
        let answer = nested.oneshot(Request::default()).await.unwrap();
        assert_eq!(super::text(answer).await, "false true");
    }
}
