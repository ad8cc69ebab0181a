//! Answered from this instance's memory: Redis is away, or the token is known to be revoked.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use evenkeel::{
    layer::{RequestHead, RevocationLayer},
    store::revocation::{Revocations, Token},
};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};

use crate::{away, handle, in_an_hour, in_step, support::RedisServer};

const TOKEN: HeaderName = HeaderName::from_static("x-token");
const CLEAR: &str = "5f0c9f2e-7d1b-4a53-9d0b-0f3a7b1c2d3e";
const REVOKED: &str = "0b1d4c7a-95e2-4d0f-8c66-3a2e9b7f1d04";

type Body = Full<Bytes>;
type Answer = Ready<Result<Response<Body>, Infallible>>;

fn bare(request: Request<()>) -> Answer {
    drop(black_box(request));
    ready(Ok(Response::new(Body::default())))
}

fn token(request: &RequestHead<'_>) -> Option<Token> {
    request.headers.get(TOKEN).map(Token::new)
}

/// What the closure costs, and no layer.
fn token_made(request: Request<()>) -> Answer {
    black_box(token(&RequestHead::new(&request)));
    bare(request)
}

/// What a handler writes that refuses by itself.
fn refused_by_hand(request: Request<()>) -> Answer {
    drop(black_box(request));
    let text = r#"{"error":"Unauthorized","message":"This token has been revoked."}"#;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    ready(Ok(response))
}

fn plain() -> Request<()> {
    Request::builder().header(TOKEN, CLEAR).body(()).unwrap()
}

fn revoked() -> Request<()> {
    Request::builder().header(TOKEN, REVOKED).body(()).unwrap()
}

/// As any server leaves it: with something in the extensions.
fn extended() -> Request<()> {
    let mut request = plain();
    request.extensions_mut().insert(1_u8);
    request
}

fn call<S, B>(c: &mut Criterion, name: &str, mut service: S, request: fn() -> Request<()>)
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    c.bench_function(name, |b| {
        let call = |request| service.call(request).now_or_never();
        b.iter_batched(request, call, BatchSize::SmallInput);
    });
}

/// Ten thousand are revoked, then Redis goes away.
async fn ten_thousand() -> Revocations {
    let server = RedisServer::start().await;
    let redis = handle(&server);
    let revocations = in_step(&redis).await;
    let _ = revocations.revoke(REVOKED, in_an_hour()).await.unwrap();
    for n in 1..10_000 {
        let _ = revocations.revoke(n.to_string(), in_an_hour()).await.unwrap();
    }
    server.kill();
    away(&redis).await;
    revocations
}

pub(crate) fn benches(c: &mut Criterion, runtime: &Runtime) {
    let revocations = runtime.block_on(ten_thousand());
    let _guard = runtime.enter();
    let full = RevocationLayer::new(&revocations, token);
    let lean = full.clone().without_extensions();
    call(c, "serve/bare", service_fn(bare), plain);
    call(c, "serve/bare, the token read and hashed", service_fn(token_made), plain);
    call(c, "serve/Revocation, lean, clear", lean.layer(service_fn(bare)), plain);
    call(c, "serve/Revocation, clear", full.layer(service_fn(bare)), plain);
    call(c, "serve extended/bare", service_fn(bare), extended);
    call(c, "serve extended/Revocation, clear", full.layer(service_fn(bare)), extended);
    call(c, "refuse/by hand", service_fn(refused_by_hand), revoked);
    call(c, "refuse/Revocation, revoked", full.layer(service_fn(bare)), revoked);
    let known = Token::new(REVOKED);
    let name = "check_local/known to be revoked";
    c.bench_function(name, |b| b.iter(|| revocations.check_local(black_box(&known))));
    let clear = Token::new(CLEAR);
    let name = "check_local/clear";
    c.bench_function(name, |b| b.iter(|| revocations.check_local(black_box(&clear))));
    c.bench_function("Token::new", |b| b.iter(|| Token::new(black_box(CLEAR))));
}
