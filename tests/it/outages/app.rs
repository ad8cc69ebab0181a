//! A small application: routes that need Redis, that can do without, and that never ask.

use axum::{Router, body::Body, extract::State, http::StatusCode, routing::get};
use evenkeel::{
    Error,
    health_router::HealthRouter,
    layer::{CheckRedisLayer, RequireRedisLayer},
    redis::Redis,
    telemetry::Metrics,
};
use http::Request;
use http_body_util::BodyExt;
use redis::cmd;
use tower::ServiceExt;

/// Redis must do all; must be readable; is made use of; is not asked.
pub(crate) const ROUTES: [&str; 4] = ["/strict", "/reads", "/soft", "/plain"];

pub(crate) fn router(redis: &Redis, metrics: &Metrics) -> Router {
    let monitor = redis.monitor();
    Router::new()
        .route("/strict", get(strict).route_layer(RequireRedisLayer::new(monitor)))
        .route("/reads", get(reads).route_layer(RequireRedisLayer::new(monitor).reads_only()))
        .route("/soft", get(soft).route_layer(CheckRedisLayer::new(monitor)))
        .route("/plain", get(|| async { "ok" }))
        .merge(HealthRouter::new(monitor).with_metrics(metrics))
        .with_state(redis.clone())
}

fn status(error: &Error) -> StatusCode {
    if error.is_unavailable() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

async fn strict(State(redis): State<Redis>) -> Result<&'static str, StatusCode> {
    let mut connection = redis.connection();
    let written = connection.query::<()>(cmd("SET").arg("strict").arg(1)).await;
    written.map_err(|error| status(&error))?;
    let read = connection.query::<Option<u8>>(cmd("GET").arg("strict")).await;
    read.map(|_| "ok").map_err(|error| status(&error))
}

async fn reads(State(redis): State<Redis>) -> Result<&'static str, StatusCode> {
    let read = redis.query::<Option<u8>>(cmd("GET").arg("reads")).await;
    read.map(|_| "ok").map_err(|error| status(&error))
}

/// Several commands: an outage makes the request wait for the first alone.
async fn soft(State(redis): State<Redis>) -> Result<&'static str, StatusCode> {
    for _ in 0..3 {
        let read = redis.query_or::<Option<u8>>(cmd("GET").arg("soft"), None).await;
        read.map_err(|error| status(&error))?;
    }
    let written = redis.query_or::<String>(cmd("SET").arg("soft").arg(1), String::new()).await;
    written.map(|_| "ok").map_err(|error| status(&error))
}

/// One request, and its answer.
pub(crate) async fn ask(app: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}
