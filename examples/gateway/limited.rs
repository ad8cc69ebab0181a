//! A route with a rate limit.

use axum::{
    Extension, Json, Router,
    extract::Request,
    http::{HeaderName, StatusCode},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};
use evenkeel::{
    layer::{
        client_key::{ClientKey, TrustedProxies},
        rate_limit::RateLimitLayer,
    },
    redis::Redis,
    store::rate::{Quota, RateVerdict},
};
use serde_json::{Value, json};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

pub(crate) fn routes(redis: &Redis, quota: &Quota, proxies: &TrustedProxies) -> Router {
    let by_client = ClientKey::header(API_KEY).or(ClientKey::address(proxies.clone()));
    let limit = RateLimitLayer::new(redis, quota.clone()).with_key(by_client);
    let route = get(limited).route_layer(limit).route_layer(from_fn(readable_key));
    Router::new().route("/limited", route)
}

async fn limited(Extension(verdict): Extension<RateVerdict>) -> Json<Value> {
    Json(json!({ "ok": true, "source": verdict.source().as_str() }))
}

/// The limit takes any bytes for a key; whoever sends something that is not even text has made a
/// mistake.
async fn readable_key(request: Request, next: Next) -> Response {
    let key = request.headers().get(API_KEY).map(|key| std::str::from_utf8(key.as_bytes()));
    match key {
        Some(Err(_)) => (StatusCode::BAD_REQUEST, "x-api-key is not UTF-8").into_response(),
        _ => next.run(request).await,
    }
}
