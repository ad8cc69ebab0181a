//! The layer in every kind of stack, and as a good citizen of tower.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, routing::get};
use bytes::Bytes;
use evenkeel::{
    layer::{CheckRedisLayer, RateLimitLayer, client_key::ClientKey},
    store::rate::{DecisionSource, RateVerdict},
    testing::Strict,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, service_fn};

use super::{
    Instance,
    layer::{alone, ask, done, from},
    slow,
    support::{Fault, FaultProxy, RedisServer},
    timed,
};

const A: &str = "203.0.113.1:1000";

type Body = Full<Bytes>;

#[tokio::test]
async fn the_service_that_was_polled_ready_is_called() {
    let server = RedisServer::start().await;
    for one in [alone().await, Instance::up(&server.url()).await] {
        let strict = Strict::new(service_fn(done));
        let calls = strict.calls();
        let layer = RateLimitLayer::new(&one.redis, slow(8));
        let stack = ServiceBuilder::new().layer(layer).layer(ConcurrencyLimitLayer::new(2));
        let service = stack.service(strict);
        let answers = (0..20).map(|_| ask(&service, from(A)));
        let answers = futures_util::future::join_all(answers).await;
        let ok = answers.iter().filter(|answer| answer.parts.status == 200).count();
        assert_eq!((ok, calls.count()), (8, 8));
        // One service, again and again, not a clone of it.
        let mut service = service;
        for _ in 0..3 {
            let answer = service.ready().await.unwrap().call(from(A)).await.unwrap();
            assert_eq!(answer.status(), 429);
        }
    }
}

/// An error of its own, and neither it nor the response is anything special.
#[derive(Clone)]
struct Fails;

#[derive(Debug, PartialEq)]
struct Own;

impl Service<Request<Body>> for Fails {
    type Response = Response<Body>;
    type Error = Own;
    type Future = Ready<Result<Response<Body>, Own>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Own>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Err(Own))
    }
}

#[tokio::test]
async fn the_error_type_is_the_inner_services() {
    let one = alone().await;
    let service = RateLimitLayer::new(&one.redis, slow(8)).layer(Fails);
    assert_eq!(service.oneshot(from(A)).await.unwrap_err(), Own);
}

#[tokio::test]
async fn a_request_waits_for_redis_once() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let one = Instance::up(&proxy.url()).await;
    let redis = one.redis.clone();
    let handler = service_fn(move |_: Request<Body>| {
        let redis = redis.clone();
        async move {
            let ping = redis.query::<()>(&evenkeel::redis::deadpool_redis::redis::cmd("GET")).await;
            Ok::<_, Infallible>(Response::new(Body::from(ping.is_err().to_string())))
        }
    });
    let layer = RateLimitLayer::new(&one.redis, slow(8));
    // Twice, nested, so that each asks Redis.
    let service = layer.clone().with_key(ClientKey::label("x")).layer(layer.layer(handler));
    assert_eq!(ask(&service, from(A)).await.parts.status, 200);
    proxy.set(Fault::BlackHole).await;
    let (answer, took) = timed(ask(&service, from(A))).await;
    let verdict = answer.parts.extensions.get::<RateVerdict>().unwrap();
    assert_eq!(verdict.source(), DecisionSource::Memory);
    assert_eq!(answer.text, "true");
    assert!(took < Duration::from_millis(1_900), "{took:?} is more than one deadline of 1 s");
}

#[tokio::test]
async fn axum_with_connect_info() {
    let one = alone().await;
    let handler =
        |verdict: axum::Extension<RateVerdict>| async move { verdict.remaining().to_string() };
    let app = Router::new()
        .route("/", get(handler))
        .layer(RateLimitLayer::new(&one.redis, slow(2)))
        .layer(CheckRedisLayer::new(one.redis.monitor()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    let mut seen = Vec::new();
    for _ in 0..3 {
        let io = tokio::net::TcpStream::connect(address).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(io);
        let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let response = send.send_request(Request::new(Empty::<Bytes>::new())).await.unwrap();
        seen.push(response.status().as_u16());
    }
    assert_eq!(seen, [200, 200, 429], "by address, whatever the port");
    server.abort();
}

#[tokio::test]
async fn hyper() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url()).await;
    let layer = RateLimitLayer::new(&one.redis, slow(1)).with_key(ClientKey::label("all"));
    let service = ServiceBuilder::new().layer(layer).service(service_fn(
        |_: Request<hyper::body::Incoming>| async {
            Ok::<_, Infallible>(Response::new(Body::from("done")))
        },
    ));
    let (client, server) = tokio::io::duplex(4096);
    let serve = hyper::server::conn::http1::Builder::new().serve_connection(
        hyper_util::rt::TokioIo::new(server),
        hyper_util::service::TowerToHyperService::new(service),
    );
    tokio::spawn(serve);
    let io = hyper_util::rt::TokioIo::new(client);
    let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let mut ask = async || {
        let response = send.send_request(Request::new(Empty::<Bytes>::new())).await.unwrap();
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.unwrap().to_bytes().len())
    };
    assert_eq!(ask().await, (200, 4));
    let (status, length) = ask().await;
    assert_eq!(status, 429);
    assert!(length > 50);
}

#[tokio::test]
async fn tonic_routes() {
    let one = alone().await;
    let layer = RateLimitLayer::new(&one.redis, slow(1)).with_key(ClientKey::path());
    let service = tonic::service::LayerExt::named_layer(&layer, Greeter);
    let routes = tonic::service::Routes::new(service);
    let request = || {
        Request::post("/evenkeel.test.Greeter/Hello")
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::empty())
            .unwrap()
    };
    let first = routes.clone().oneshot(request()).await.unwrap();
    assert_eq!(first.headers()["grpc-status"], "12");
    let second = routes.oneshot(request()).await.unwrap();
    assert_eq!(second.headers()["grpc-status"], "8");
    assert_eq!(second.status(), 200);
}

/// A service of tonic that knows no method.
#[derive(Clone)]
pub(crate) struct Greeter;

impl tonic::server::NamedService for Greeter {
    const NAME: &'static str = "evenkeel.test.Greeter";
}

impl Service<Request<tonic::body::Body>> for Greeter {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<tonic::body::Body>) -> Self::Future {
        ready(Ok(tonic::Status::unimplemented("nothing here").into_http()))
    }
}
