//! The layer: what handlers, clients and operators see.

use std::{
    future::{Ready, ready},
    net::SocketAddr,
    time::{Duration, Instant as Clock},
};

use bytes::Bytes;
use evenkeel::{
    layer::{
        ConcurrencyLimitLayer,
        client_key::{ClientKey, MissingKey, PeerAddr},
    },
    respond::{Refusal, RefusalKind},
    store::concurrency::{ConcurrencyLimiter, InFlight, Occupancy},
    testing::Strict,
};
use http::{HeaderValue, Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};

use super::{
    DAY, Instance,
    support::{Fault, FaultProxy, RedisServer},
};

type Body = Full<Bytes>;

fn limit(most: u32) -> InFlight {
    InFlight::at_most(most).with_lease(DAY)
}

/// An instance whose Redis is gone, for what has nothing to do with Redis.
async fn alone(most: u32) -> Instance {
    let server = RedisServer::start().await;
    let instance = Instance::new(&server.url(), limit(most));
    server.kill();
    instance.is_down().await;
    instance
}

/// Fails when told to.
fn done(request: Request<Body>) -> Ready<Result<Response<Body>, String>> {
    let occupancy = request.extensions().get::<Occupancy>();
    let text = occupancy.map_or("uncounted".into(), |seen| seen.in_flight().to_string());
    ready(match request.uri().path() {
        "/fail" => Err("the inner error".to_owned()),
        _ => Ok(Response::new(Body::from(text))),
    })
}

fn from(peer: &str) -> Request<Body> {
    let peer = PeerAddr(peer.parse::<SocketAddr>().unwrap());
    Request::builder().extension(peer).body(Body::default()).unwrap()
}

const A: &str = "203.0.113.1:1000";
const B: &str = "203.0.113.2:1000";

#[tokio::test]
async fn in_flight_until_the_body_has_ended() {
    let server = RedisServer::start().await;
    for one in [alone(1).await, Instance::up(&server.url(), limit(1)).await] {
        let layer = ConcurrencyLimitLayer::with_limiter(&one.limiter);
        let service = layer.layer(Strict::new(service_fn(done)));
        let ask = async |peer| service.clone().oneshot(from(peer)).await.unwrap();
        let until_served = async || {
            loop {
                let answer = ask(A).await;
                if answer.status() == 200 {
                    break answer;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let first = ask(A).await;
        assert_eq!(first.status(), 200);
        assert_eq!(first.extensions().get::<Occupancy>().unwrap().in_flight(), 1);
        let refused = ask(A).await;
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(refused.headers()["cache-control"], "no-store");
        assert_eq!(refused.extensions().get::<Occupancy>().unwrap().in_flight(), 1);
        let kind = refused.extensions().get::<Refusal>().unwrap().kind();
        assert_eq!(kind, RefusalKind::RateLimited);
        assert_eq!(ask(B).await.status(), 200, "somebody else");

        let mut body = first.into_body();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "1");
        // The last frame was read: nobody has to ask for the end, nor to drop the body.
        let second = until_served().await;
        assert_eq!(ask(A).await.status(), 429);
        drop(second);
        until_served().await;
        drop(body);
    }
}

#[tokio::test]
async fn what_fails_or_is_dropped_is_over() {
    let one = alone(1).await;
    let layer = ConcurrencyLimitLayer::with_limiter(&one.limiter);
    let service = layer.layer(service_fn(done));
    let mut failing = from(A);
    *failing.uri_mut() = "/fail".parse().unwrap();
    let error: String = service.clone().oneshot(failing).await.unwrap_err();
    assert_eq!((error.as_str(), one.limiter.in_flight()), ("the inner error", 0));

    let hanging = layer.layer(service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, String>>()
    }));
    let mut request = Box::pin(hanging.oneshot(from(A)));
    assert!(futures_util::poll!(&mut request).is_pending());
    assert_eq!(one.limiter.in_flight(), 1);
    drop(request);
    assert_eq!(one.limiter.in_flight(), 0);
}

#[tokio::test]
async fn grpc_and_replaced_refusals() {
    let one = alone(1).await;
    let layer = ConcurrencyLimitLayer::with_limiter(&one.limiter);
    let _permit = layer.layer(service_fn(done)).oneshot(from(A)).await.unwrap();
    let mut request = from(A);
    let grpc = HeaderValue::from_static("application/grpc");
    request.headers_mut().insert("content-type", grpc);
    let refused = layer.layer(service_fn(done)).oneshot(request).await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["grpc-status"]),
        (200, &"8".parse().unwrap())
    );

    let own = layer.with_refusal(|_: &Parts, refusal: Refusal| {
        Response::builder().status(503).body(Body::from(format!("{:?}", refusal.kind()))).unwrap()
    });
    let refused = own.layer(service_fn(done)).oneshot(from(A)).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.extensions().get::<Refusal>().is_some());
    assert_eq!(refused.into_body().collect().await.unwrap().to_bytes(), "RateLimited");
}

#[tokio::test]
async fn keys_and_those_who_have_none() {
    let one = alone(1).await;
    let by_key = ConcurrencyLimitLayer::with_limiter(&one.limiter)
        .with_key(ClientKey::header("x-api-key".parse().unwrap()));
    let with = |key: &[u8]| {
        let mut request = from(A);
        let key = HeaderValue::from_bytes(key).unwrap();
        request.headers_mut().insert("x-api-key", key);
        request
    };
    let service = by_key.layer(service_fn(done));
    let mut held = Vec::new();
    for key in [&b"k"[..], &[0xff; 8_192], b"{}:"] {
        held.push(service.clone().oneshot(with(key)).await.unwrap());
        assert_eq!(held.last().unwrap().status(), 200);
        assert_eq!(service.clone().oneshot(with(key)).await.unwrap().status(), 429);
    }
    held.push(service.clone().oneshot(from(A)).await.unwrap());
    assert_eq!(service.clone().oneshot(from(B)).await.unwrap().status(), 429, "shared");
    let refusing = by_key.clone().with_missing_key(MissingKey::Refuse);
    let refused = refusing.layer(service_fn(done)).oneshot(from(A)).await.unwrap();
    assert_eq!(refused.status(), 400);
    let allowing = by_key.clone().with_missing_key(MissingKey::Allow).layer(service_fn(done));
    let exempting = by_key.with_exemption(|_| true).layer(service_fn(done));
    for service in [allowing, exempting] {
        let answer = service.oneshot(from(A)).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "uncounted");
    }
}

#[tokio::test]
async fn however_many_layers_one_deadline() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let one = Instance::up(&proxy.url(), limit(5)).await;
    let other = ConcurrencyLimiter::new(&one.redis, limit(5).with_name("other"));
    let service = ConcurrencyLimitLayer::with_limiter(&one.limiter)
        .layer(ConcurrencyLimitLayer::with_limiter(&other).layer(service_fn(done)));
    proxy.set(Fault::BlackHole).await;
    let asked = Clock::now();
    let answer = service.oneshot(from(A)).await.unwrap();
    let took = asked.elapsed();
    assert!(answer.extensions().get::<Occupancy>().unwrap().is_degraded());
    assert!(took < Duration::from_millis(1_900), "{took:?} is more than one deadline of 1 s");
}

#[tokio::test]
async fn a_lease_of_the_layer_s_own() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url(), limit(1)).await;
    let layer = ConcurrencyLimitLayer::new(
        &one.redis,
        InFlight::at_most(1).with_name("own").with_lease(Duration::from_secs(7)),
    );
    let _held = layer.layer(service_fn(done)).oneshot(from(A)).await.unwrap();
    let key = format!("{}:concurrency:own:{{203.0.113.1}}", one.redis.namespace());
    let expires: i64 = server.query(&["PTTL", &key]).await.unwrap();
    assert!((1..=7_000).contains(&expires), "{expires}");
}
