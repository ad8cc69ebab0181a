//! The order of layers: `cargo run --example layers`. `docs/layers.md` says why in this order.

use std::{error::Error, net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use evenkeel::{
    health_router::HealthRouter,
    layer::{CheckRedisLayer, RateLimitLayer, SessionLayer},
    redis::Redis,
    respond::Refusal,
    store::{rate::Quota, session::SessionKeys},
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::CorsLayer,
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tracing::Span;

/// The routes behind every layer, the outermost first.
pub(crate) fn with_layers(
    routes: Router,
    redis: &Redis,
    limit: Quota,
) -> Result<Router, evenkeel::Error> {
    let sessions = SessionLayer::new(redis, SessionKeys::from_env()?);
    Ok(routes.layer(
        ServiceBuilder::new()
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(
                TraceLayer::new_for_http()
                    .make_span_with(request_span)
                    .on_response(log_answer)
                    .on_failure(()),
            )
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(cors())
            .layer(CompressionLayer::new())
            .layer(CatchPanicLayer::new())
            .layer(TimeoutLayer::with_status_code(
                StatusCode::GATEWAY_TIMEOUT,
                Duration::from_secs(10),
            ))
            .layer(RequestBodyLimitLayer::new(64 * 1024))
            .layer(CheckRedisLayer::new(redis.monitor()))
            .layer(RateLimitLayer::new(redis, limit))
            .layer(sessions),
    ))
}

/// A page of this origin may call us with its cookies, and read what limits and refusals say.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(HeaderValue::from_static("https://shop.example"))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE])
        .expose_headers([
            header::RETRY_AFTER,
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
            HeaderName::from_static("x-request-id"),
        ])
}

fn request_span<B>(request: &Request<B>) -> Span {
    let id = request.extensions().get::<RequestId>();
    let id = id.and_then(|id| id.header_value().to_str().ok());
    tracing::info_span!("request", id, method = %request.method(), path = request.uri().path())
}

/// A refusal is no failure of the service: in an outage there would be an ERROR line for each.
fn log_answer<B>(response: &Response<B>, latency: Duration, _: &Span) {
    let status = response.status();
    match response.extensions().get::<Refusal>() {
        Some(refusal) => tracing::debug!(%status, ?latency, ?refusal, "refused"),
        None if status.is_server_error() => tracing::error!(%status, ?latency, "failed"),
        None => tracing::debug!(%status, ?latency, "answered"),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let redis = Redis::from_env()?;
    let routes = Router::new().route("/", get(|| async { "hello" }));
    // Probes are neither counted nor refused: the health router is outside.
    let app = with_layers(routes, &redis, Quota::per_minute(100))?
        .merge(HealthRouter::new(redis.monitor()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3004").await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
