//! The layer: what handlers, clients and operators see.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use evenkeel::{
    layer::{
        client_key::{ClientKey, MissingKey, PeerAddr},
        rate_limit::{HeaderStyle, OutagePolicy, RateLimitLayer},
    },
    respond::{Refusal, RefusalKind},
    store::rate::{DecisionSource, Quota, RateLimiter, RatePolicy, RateVerdict, Subject},
};
use http::{HeaderValue, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::{Instance, slow, support::RedisServer};

type Body = Full<Bytes>;

/// An instance whose Redis is gone, for what has nothing to do with Redis.
pub(crate) async fn alone() -> Instance {
    let server = RedisServer::start().await;
    let instance = Instance::new(&server.url());
    server.kill();
    instance.is_down().await;
    instance
}

pub(crate) async fn done(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let verdict = request.extensions().get::<RateVerdict>();
    Ok(Response::new(Body::from(match verdict {
        Some(verdict) => format!("{} {}", verdict.allowed(), verdict.remaining()),
        None => "no verdict".to_owned(),
    })))
}

pub(crate) fn from(peer: &str) -> Request<Body> {
    let peer = PeerAddr(peer.parse::<SocketAddr>().unwrap());
    Request::builder().extension(peer).body(Body::default()).unwrap()
}

pub(crate) struct Answer {
    pub(crate) parts: http::response::Parts,
    pub(crate) text: String,
}

impl Answer {
    fn status(&self) -> u16 {
        self.parts.status.as_u16()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) async fn ask<S, B>(service: &S, request: Request<Body>) -> Answer
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    let (parts, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer { parts, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

const A: &str = "203.0.113.1:1000";
const B: &str = "203.0.113.2:1000";

#[tokio::test]
async fn admitted_and_refused_as_in_the_contract() {
    let one = alone().await;
    let service = RateLimitLayer::new(&one.redis, Quota::per_minute(2)).layer(service_fn(done));
    let first = ask(&service, from(A)).await;
    assert_eq!((first.status(), first.text.as_str()), (200, "true 1"));
    assert_eq!(first.header("ratelimit-policy"), Some("\"default\";q=2;w=60"));
    assert_eq!(first.header("ratelimit"), Some("\"default\";r=1;t=30"));
    let verdict = first.parts.extensions.get::<RateVerdict>().unwrap();
    assert_eq!((verdict.allowed(), verdict.source()), (true, DecisionSource::Memory));
    ask(&service, from(A)).await;

    let refused = ask(&service, from(A)).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    assert_eq!(refused.header("content-type"), Some("application/json"));
    assert_eq!(refused.header("ratelimit"), Some("\"default\";r=0;t=30"));
    let text = "{\"error\":\"Too Many Requests\",\"message\":\"Too many requests. Please retry later.\",\"retryAfter\":30}";
    assert_eq!(refused.text, text);
    assert!(!refused.parts.extensions.get::<RateVerdict>().unwrap().allowed());
    let refusal = refused.parts.extensions.get::<Refusal>().unwrap();
    assert_eq!(refusal.kind(), RefusalKind::RateLimited);

    assert_eq!(ask(&service, from(B)).await.status(), 200, "somebody else");
    assert_eq!(ask(&service, from("203.0.113.1:9")).await.status(), 429, "another port");
}

#[tokio::test]
async fn a_request_sent_when_told_is_admitted() {
    for one in [alone().await, {
        let server = Box::leak(Box::new(RedisServer::start().await));
        Instance::up(&server.url()).await
    }] {
        let service = RateLimitLayer::new(&one.redis, Quota::per_second(3)).layer(service_fn(done));
        let refused = loop {
            let answer = ask(&service, from(A)).await;
            if answer.status() == 429 {
                break answer;
            }
        };
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert_eq!(wait, 1);
        tokio::time::sleep(Duration::from_secs(wait)).await;
        assert_eq!(ask(&service, from(A)).await.status(), 200);
    }
}

#[tokio::test]
async fn grpc_and_problem_details() {
    let one = alone().await;
    let service = RateLimitLayer::new(&one.redis, slow(1)).layer(service_fn(done));
    ask(&service, from(A)).await;
    let with = |name: &'static str, value| {
        let mut request = from(A);
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        request
    };
    let grpc = ask(&service, with("content-type", "application/grpc")).await;
    assert_eq!((grpc.status(), grpc.header("grpc-status")), (200, Some("8")));
    assert!(grpc.header("grpc-status-details-bin").is_some() && grpc.text.is_empty());
    let problem = ask(&service, with("accept", "application/problem+json")).await;
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    assert!(problem.text.contains("#quota-exceeded"), "{}", problem.text);
}

#[tokio::test]
async fn tiers_costs_and_exemptions() {
    let one = alone().await;
    let (free, paid) = (slow(2).with_name("free"), slow(5).with_name("paid"));
    let service = RateLimitLayer::new(&one.redis, free.clone())
        .with_policy_for(move |request| {
            let pays = request.headers.contains_key("x-plan");
            if pays { paid.clone() } else { free.clone() }
        })
        .with_cost_for(|request| if request.uri.path() == "/big" { 4 } else { 1 })
        .with_exemption(|request| request.uri.path() == "/health")
        .layer(service_fn(done));
    let on = |path: &'static str, pays: bool| {
        let mut request = from(A);
        *request.uri_mut() = path.parse().unwrap();
        if pays {
            request.headers_mut().insert("x-plan", HeaderValue::from_static("paid"));
        }
        request
    };
    let never = ask(&service, on("/big", false)).await;
    assert_eq!((never.status(), never.header("retry-after")), (429, None));
    assert!(never.text.contains("\"retryAfter\":null"), "{}", never.text);
    let big = ask(&service, on("/big", true)).await;
    assert_eq!((big.status(), big.text.as_str()), (200, "true 1"));
    assert_eq!(big.header("ratelimit-policy"), Some("\"paid\";q=5;w=86400"));
    assert_eq!(ask(&service, on("/", true)).await.text, "true 0");
    assert_eq!(ask(&service, on("/", true)).await.status(), 429);
    assert_eq!(ask(&service, on("/", false)).await.text, "true 1");
    let exempt = ask(&service, on("/health", true)).await;
    assert_eq!((exempt.status(), exempt.text.as_str()), (200, "no verdict"));
    assert_eq!(exempt.header("ratelimit"), None);
}

#[tokio::test]
async fn shadow_mode_refuses_nobody_and_shows_nothing() {
    let one = alone().await;
    let policy = slow(1).with_name("shadow");
    let service =
        RateLimitLayer::new(&one.redis, policy).with_shadow_mode().layer(service_fn(done));
    let texts = [ask(&service, from(A)).await, ask(&service, from(A)).await].map(|answer| {
        assert_eq!((answer.status(), answer.header("ratelimit")), (200, None));
        answer.text
    });
    assert_eq!(texts, ["true 0", "false 0"], "the handler is told");
    let labels = ["policy=\"shadow\"", "\"shadow_limited\"", "\"memory\""];
    assert_eq!(one.metric("rate_limit_decisions_total", &labels).await, Some(1));
}

#[tokio::test]
async fn a_request_without_a_key() {
    let one = alone().await;
    let layer = RateLimitLayer::new(&one.redis, slow(1))
        .with_key(ClientKey::header("x-api-key".parse().unwrap()));
    let shared = layer.clone().layer(service_fn(done));
    assert_eq!(ask(&shared, from(A)).await.status(), 200);
    assert_eq!(ask(&shared, from(B)).await.status(), 429, "they share one budget");
    let allowing = layer.clone().with_missing_key(MissingKey::Allow).layer(service_fn(done));
    assert_eq!(ask(&allowing, from(A)).await.text, "no verdict");
    let refusing = layer.with_missing_key(MissingKey::Refuse).layer(service_fn(done));
    let refused = ask(&refusing, from(A)).await;
    assert_eq!(refused.status(), 400);
    let text = "{\"error\":\"Bad Request\",\"message\":\"The request does not say who is asking.\",\"retryAfter\":null}";
    assert_eq!(refused.text, text);
    assert_eq!(refused.parts.extensions.get::<Refusal>().unwrap().kind(), RefusalKind::NoKey);
}

#[tokio::test]
async fn outage_policies() {
    let one = alone().await;
    let layer = |outage| {
        RateLimitLayer::new(&one.redis, slow(1)).with_outage_policy(outage).layer(service_fn(done))
    };
    let allow = layer(OutagePolicy::Allow);
    for _ in 0..3 {
        assert_eq!(ask(&allow, from(A)).await.text, "true 1", "nothing is counted");
    }
    let deny = layer(OutagePolicy::Deny);
    let refused = ask(&deny, from(A)).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.text.contains("Redis is currently unavailable"), "{}", refused.text);
    let local = layer(OutagePolicy::Local);
    assert_eq!(ask(&local, from(A)).await.status(), 200);
    assert_eq!(ask(&local, from(A)).await.status(), 429);
}

#[tokio::test]
async fn header_styles_and_no_extensions() {
    let one = alone().await;
    let layer = RateLimitLayer::new(&one.redis, slow(9)).without_extensions();
    let x = layer.clone().with_headers(HeaderStyle::XRateLimit).layer(service_fn(done));
    let answer = ask(&x, from(A)).await;
    assert_eq!((answer.header("x-ratelimit-limit"), answer.header("ratelimit")), (Some("9"), None));
    assert_eq!(answer.text, "no verdict");
    assert!(answer.parts.extensions.get::<RateVerdict>().is_none());
    let none = layer.with_headers(HeaderStyle::None).layer(service_fn(done));
    assert_eq!(ask(&none, from(A)).await.parts.headers.len(), 0);
}

#[tokio::test]
async fn the_share_in_force_is_shown() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url()).await;
    let limiter = RateLimiter::builder(&one.redis).with_instances(4.try_into().unwrap()).build();
    let layer = RateLimitLayer::with_limiter(&limiter, Quota::per_minute(100));
    let service = layer.layer(service_fn(done));
    let shown =
        async || ask(&service, from(A)).await.header("ratelimit-policy").unwrap().to_owned();
    assert_eq!(shown().await, "\"default\";q=100;w=60");
    server.kill();
    one.is_down().await;
    assert_eq!(shown().await, "\"default\";q=25;w=60");
}

#[tokio::test]
async fn a_closure_replaces_the_refusal() {
    let one = alone().await;
    let service = RateLimitLayer::new(&one.redis, slow(1))
        .with_refusal(|request: &Parts, refusal: Refusal| {
            let verdict = request.extensions.get::<RateVerdict>().unwrap();
            let mut response = Response::new(Body::from(format!("{:?}", verdict.remaining())));
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            response.headers_mut().insert("x-wait", refusal.retry_after().unwrap().into());
            response
        })
        .layer(service_fn(done));
    ask(&service, from(A)).await;
    let answer = ask(&service, from(A)).await;
    assert_eq!((answer.status(), answer.text.as_str()), (418, "0"));
    assert!(answer.header("x-wait").is_some() && answer.header("ratelimit").is_some());
    assert!(answer.parts.extensions.get::<Refusal>().is_some());
}

#[tokio::test]
async fn clones_share_their_state() {
    let one = alone().await;
    let layer = RateLimitLayer::new(&one.redis, slow(2));
    let services = [layer.layer(service_fn(done)), layer.clone().layer(service_fn(done))];
    assert_eq!(ask(&services[0], from(A)).await.status(), 200);
    assert_eq!(ask(&services[1], from(A)).await.status(), 200);
    for service in services {
        assert_eq!(ask(&service, from(A)).await.status(), 429);
    }
}

#[tokio::test]
async fn keys_of_a_stranger() {
    let one = alone().await;
    let key = ClientKey::header("x-api-key".parse().unwrap())
        .or(ClientKey::address("10.0.0.0/8".parse().unwrap()));
    let service = RateLimitLayer::new(&one.redis, slow(1)).with_key(key).layer(service_fn(done));
    let keyed = |bytes: &[u8]| {
        let mut request = from(A);
        request.headers_mut().insert("x-api-key", HeaderValue::from_bytes(bytes).unwrap());
        request
    };
    let huge = vec![b'k'; 65_536];
    for bytes in [&b"\xff\xfe"[..], b"203.0.113.2", b"a,b", b"{x}:", &huge, &huge[1..]] {
        assert_eq!(ask(&service, keyed(bytes)).await.status(), 200, "never another's bucket");
        assert_eq!(ask(&service, keyed(bytes)).await.status(), 429, "always its own");
    }
    // An empty key is none: the address counts.
    assert_eq!(ask(&service, keyed(b"")).await.status(), 200);
    assert_eq!(ask(&service, from(A)).await.status(), 429);
    // From the client itself the header means nothing; from the proxy, garbage counts for the
    // proxy.
    let forwarded = |peer, text: &[u8]| {
        let mut request = from(peer);
        request.headers_mut().insert("x-forwarded-for", HeaderValue::from_bytes(text).unwrap());
        request
    };
    assert_eq!(ask(&service, forwarded(A, b"203.0.113.77")).await.status(), 429, "forged");
    assert_eq!(
        ask(&service, forwarded("10.0.0.1:1", b"203.0.113.1")).await.status(),
        429,
        "it is he"
    );
    assert_eq!(
        ask(&service, forwarded("10.0.0.1:1", b"9.9.9.9, \xff garbage")).await.status(),
        200
    );
    assert_eq!(ask(&service, forwarded("10.0.0.1:1", &huge)).await.status(), 429);
    assert_eq!(ask(&service, forwarded("10.0.0.1:1", b"203.0.113.9")).await.status(), 200);
}

#[tokio::test]
async fn several_windows_in_the_headers() {
    let one = alone().await;
    let policy = RatePolicy::from([Quota::per_second(10), Quota::per_hour(3)]);
    let service = RateLimitLayer::new(&one.redis, policy).layer(service_fn(done));
    let answer = ask(&service, from(A)).await;
    let shown = "\"default-1s\";q=10;w=1, \"default-1h\";q=3;w=3600";
    assert_eq!(answer.header("ratelimit-policy"), Some(shown));
    assert_eq!(
        answer.header("ratelimit"),
        Some("\"default-1s\";r=9;t=1, \"default-1h\";r=2;t=1200")
    );
}

#[tokio::test]
async fn the_limiter_and_the_layer_see_the_same() {
    let one = alone().await;
    let policy = slow(2);
    let layer = RateLimitLayer::with_limiter(&one.limiter, policy.clone());
    let service = layer.with_key(ClientKey::label("all")).layer(service_fn(done));
    ask(&service, from(A)).await;
    let left = one.limiter.decide(&policy, &Subject::text("all"), 0).await;
    assert_eq!(left.remaining(), 1);
}
