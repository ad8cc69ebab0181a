//! `RevocationLayer`, round a strict service, Redis or no Redis.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use evenkeel::{
    Source,
    layer::{RequestHead, RevocationLayer},
    respond::{Refusal, RefusalKind, ResponseBody},
    store::revocation::{RevocationDecision, RevocationStatus, Token},
    testing::{Calls, Strict},
};
use http::{Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, service_fn,
    util::BoxCloneService,
};

use super::{
    Instance, in_an_hour, open,
    support::{Fault, FaultProxy, RedisServer},
};

type Body = Full<Bytes>;

fn token(request: &RequestHead<'_>) -> Option<Token> {
    request.headers.get("x-token").map(Token::new)
}

/// Says what the layer has decided.
async fn decided(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let decision = request.extensions().get::<RevocationDecision>().map(|decision| decision.status);
    Ok(Response::new(Body::from(format!("{decision:?}"))))
}

fn service(
    instance: &Instance,
) -> (BoxCloneService<Request<Body>, Response<Bytes>, Infallible>, Calls) {
    let strict = Strict::new(service_fn(decided));
    let calls = strict.calls();
    let service = ServiceBuilder::new()
        .layer(RevocationLayer::new(&instance.revocations, token))
        .layer(ConcurrencyLimitLayer::new(8))
        .service(strict);
    let service = service.and_then(|response: Response<ResponseBody<Body>>| async {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Ok(Response::from_parts(parts, body))
    });
    (BoxCloneService::new(service), calls)
}

fn with_token(token: &str) -> Request<Body> {
    Request::builder().header("x-token", token).body(Body::default()).unwrap()
}

async fn send<S>(service: &S, request: Request<Body>) -> Response<Bytes>
where
    S: Service<Request<Body>, Response = Response<Bytes>, Error = Infallible> + Clone,
{
    service.clone().oneshot(request).await.unwrap()
}

fn assert_unauthorized(answer: &Response<Bytes>) {
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
    assert!(!answer.headers().contains_key(header::RETRY_AFTER));
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(body, json!({"error": "Unauthorized", "message": "This token has been revoked."}));
    let refusal = answer.extensions().get::<Refusal>().unwrap();
    assert_eq!(refusal.kind(), RefusalKind::Revoked);
    assert_eq!(
        answer.extensions().get::<RevocationDecision>().unwrap().status,
        RevocationStatus::Revoked
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_is_401_unknown_is_503_and_clear_passes() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let (service_a, calls) = service(&a);
    let (service_b, calls_b) = service(&b);
    let answer = send(&service_a, with_token("good")).await;
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"Some(Clear)"[..]));
    let answer = send(&service_a, Request::default()).await;
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"None"[..]));
    assert_eq!(calls.count(), 2);

    let _ = a.revocations.revoke("bad", in_an_hour()).await.unwrap();
    // Known here; known by Redis only, or by the log already.
    assert_unauthorized(&send(&service_a, with_token("bad")).await);
    assert_unauthorized(&send(&service_b, with_token("bad")).await);
    assert_eq!((calls.count(), calls_b.count()), (2, 0), "the inner service is not called");

    server.kill();
    a.away().await;
    assert_unauthorized(&send(&service_a, with_token("bad")).await);
    assert_eq!(send(&service_a, with_token("good")).await.status(), 200);
    let fresh = Instance::at(&server.url());
    let (service, calls) = service(&fresh);
    let answer = send(&service, with_token("good")).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    assert!(!answer.headers().contains_key(header::WWW_AUTHENTICATE));
    let refusal = answer.extensions().get::<Refusal>().unwrap();
    assert!(matches!(refusal.kind(), RefusalKind::Unavailable { .. }));
    assert_eq!(
        answer.extensions().get::<RevocationDecision>().unwrap().status,
        RevocationStatus::Unknown
    );
    assert_eq!(calls.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_open_policy_unknown_passes_and_says_so() {
    let instance = Instance::with("redis://127.0.0.1:1/", open);
    let (service, _) = service(&instance);
    let answer = send(&service, with_token("any")).await;
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"Some(Unknown)"[..]));
    assert_eq!(instance.metric(&["revocation_checks_total", "unknown_admitted"]), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_clients_get_their_own_status() {
    let instance = Instance::at("redis://127.0.0.1:1/");
    let _ = instance.revocations.revoke("bad", in_an_hour()).await.unwrap();
    let (service, _) = service(&instance);
    for (token, status) in [("bad", "16"), ("unknown", "14")] {
        let mut request = with_token(token);
        request.headers_mut().insert(header::CONTENT_TYPE, "application/grpc".parse().unwrap());
        let answer = send(&service, request).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["grpc-status"], status, "{token}");
        assert!(answer.body().is_empty());
        let pushback = answer.headers()["grpc-retry-pushback-ms"].to_str().unwrap();
        assert_eq!(pushback.starts_with('-'), token == "bad", "{pushback}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn problem_details_on_request() {
    let instance = Instance::at("redis://127.0.0.1:1/");
    let _ = instance.revocations.revoke("bad", in_an_hour()).await.unwrap();
    let (service, _) = service(&instance);
    let mut request = with_token("bad");
    request.headers_mut().insert(header::ACCEPT, "application/problem+json".parse().unwrap());
    let answer = send(&service, request).await;
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(
        body,
        json!({"type": "about:blank", "title": "Unauthorized", "status": 401,
            "detail": "This token has been revoked.", "error": "Unauthorized",
            "message": "This token has been revoked."})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closure_can_refuse_in_its_own_way() {
    let instance = Instance::at("redis://127.0.0.1:1/");
    let layer = RevocationLayer::new(&instance.revocations, token).with_refusal(
        |request: &Parts, refusal: Refusal| {
            let text = format!("{} {}", request.uri.path(), refusal.status());
            let mut response = Response::new(Body::from(text));
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            response
        },
    );
    let service = layer.layer(service_fn(decided));
    let answer = service.oneshot(with_token("any")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
    assert!(answer.extensions().get::<Refusal>().is_some());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&body[..], b"/ 503 Service Unavailable");
}

/// The first check that hangs turns the state; the request waits for Redis once, and is answered
/// from memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_hangs_is_answered_from_memory() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let instance = Instance::at(&proxy.url()).ready().await;
    let (service, _) = service(&instance);
    proxy.set(Fault::BlackHole).await;
    let answers = (0..8).map(|_| send(&service, with_token("good")));
    for answer in futures_util::future::join_all(answers).await {
        assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"Some(Clear)"[..]));
    }
    assert!(!instance.redis.monitor().is_available());
}

/// Dropped while Redis is asked: nothing is stuck, and the place in the inner service is free
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_given_up_leaves_nothing_behind() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let instance = Instance::at(&proxy.url()).ready().await;
    let (service, calls) = service(&instance);
    proxy.set(Fault::Delay(Duration::from_millis(100))).await;
    for _ in 0..20 {
        let given_up = send(&service, with_token("good"));
        assert!(tokio::time::timeout(Duration::from_millis(5), given_up).await.is_err());
    }
    assert_eq!(calls.count(), 0);
    proxy.set(Fault::Pass).await;
    instance.available().await;
    let decision = instance.revocations.check(&Token::new("good")).await;
    assert_eq!((decision.status, decision.source), (RevocationStatus::Clear, Source::Redis));
    assert_eq!(send(&service, with_token("good")).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_extensions_a_request_that_passes_says_nothing() {
    let server = RedisServer::start().await;
    let instance = Instance::at(&server.url()).ready().await;
    let layer = RevocationLayer::new(&instance.revocations, token).without_extensions();
    let service = layer.layer(service_fn(decided));
    let said = async |id| {
        let answer = service.clone().oneshot(with_token(id)).await.unwrap();
        let decision =
            answer.extensions().get::<RevocationDecision>().map(|decision| decision.status);
        (answer.status(), decision, answer.into_body().collect().await.unwrap().to_bytes())
    };
    let nothing = (StatusCode::OK, None, Bytes::from("None"));
    assert_eq!(said("good").await, nothing, "Redis was asked");
    let _ = instance.revocations.revoke("bad", in_an_hour()).await.unwrap();
    server.kill();
    instance.away().await;
    assert_eq!(said("good").await, nothing, "memory was asked");
    let (status, decision, _) = said("bad").await;
    assert_eq!((status, decision), (StatusCode::UNAUTHORIZED, Some(RevocationStatus::Revoked)));
}
