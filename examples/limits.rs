//! Limits by method and route, and one that counts failed answers only: `cargo run --example
//! limits`.

use std::{error::Error, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use evenkeel::{
    layer::{RateLimitLayer, client_key::ClientKey},
    redis::Redis,
    store::rate::{Quota, RateLimiter, RatePolicy, Subject},
};

pub(crate) fn app(redis: &Redis) -> Router {
    Router::new()
        // Reading and writing have budgets of their own: by the name of the policy.
        .route("/articles", get(async || "read").layer(limit(redis, "read", 100)))
        .merge(
            Router::new()
                .route("/articles", post(async || "written").layer(limit(redis, "write", 10))),
        )
        // Each route of this router has its own: by the label that is part of the key.
        .route("/search", get(async || "found").layer(limit_of(redis, "search")))
        .route("/export", get(async || "exported").layer(limit_of(redis, "export")))
        .merge(guessing(redis))
}

fn limit(redis: &Redis, name: &'static str, each_minute: u32) -> RateLimitLayer {
    RateLimitLayer::new(redis, RatePolicy::from(Quota::per_minute(each_minute)).with_name(name))
}

fn limit_of(redis: &Redis, route: &'static str) -> RateLimitLayer {
    let key = ClientKey::label(route).and(ClientKey::peer());
    limit(redis, "route", 30).with_key(key)
}

/// A route of which only wrong answers count: five a minute for each client. Guesses that are under
/// way at once may slip past it together; where that matters, and for passwords, take
/// `store::lockout`, which has each guess take a place before it is made.
fn guessing(redis: &Redis) -> Router {
    let failures = Arc::new(Failures {
        limiter: RateLimiter::new(redis),
        policy: RatePolicy::from(Quota::per_minute(5)).with_name("coupons"),
    });
    Router::new()
        .route("/coupons/{code}", get(coupon))
        .route_layer(from_fn_with_state(failures, count_failures))
}

async fn coupon(code: axum::extract::Path<String>) -> StatusCode {
    if *code == "SPRING" { StatusCode::OK } else { StatusCode::NOT_FOUND }
}

struct Failures {
    limiter: RateLimiter,
    policy: RatePolicy,
}

async fn count_failures(
    State(failures): State<Arc<Failures>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let Failures { limiter, policy } = &*failures;
    let client = Subject::address(peer.ip(), 64);
    // A cost of 0 asks without spending.
    let before = limiter.decide(policy, &client, 0).await;
    if before.remaining() == 0 {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    let answer = next.run(request).await;
    if answer.status().is_client_error() {
        limiter.decide(policy, &client, 1).await;
    }
    answer
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let redis = Redis::from_env()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3006").await?;
    let app = app(&redis).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}
