//! Metrics of this crate beside an OpenTelemetry pipeline of the application's own, on one page:
//! `cargo run --example telemetry`.
//!
//! `Metrics::prometheus` is a pipeline by itself. It leaves OpenTelemetry's global provider alone,
//! so the application sets that for its own instruments, with whatever exporter it likes; here it
//! is Prometheus', too, and `GET /metrics` on `127.0.0.1:3005` has both.

use std::{error::Error, net::SocketAddr};

use axum::{Router, response::IntoResponse, routing::get};
use evenkeel::{
    layer::RateLimitLayer,
    redis::{Redis, RedisConfig},
    store::rate::Quota,
    telemetry::Metrics,
};
use http::header::CONTENT_TYPE;
use opentelemetry::{global, metrics::MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

/// The application's own pipeline, and where its numbers can be read.
pub(crate) fn pipeline() -> Result<(SdkMeterProvider, Registry), Box<dyn Error>> {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build()?;
    Ok((SdkMeterProvider::builder().with_reader(exporter).build(), registry))
}

pub(crate) fn app(
    redis: &Redis,
    metrics: Metrics,
    provider: &impl MeterProvider,
    registry: Registry,
) -> Router {
    let orders = provider.meter("shop").u64_counter("orders").build();
    let order = move || async move {
        orders.add(1, &[]);
        "ordered"
    };
    let page = move || async move {
        let mut page = metrics.render();
        // Names that both have would be an error for Prometheus: give yours a prefix.
        if let Err(error) = TextEncoder::new().encode_utf8(&registry.gather(), &mut page) {
            tracing::error!(%error, "the application's metrics could not be written");
        }
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response()
    };
    Router::new()
        .route("/order", get(order))
        .layer(RateLimitLayer::new(redis, Quota::per_minute(100)))
        .route("/metrics", get(page))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let (provider, registry) = pipeline()?;
    global::set_meter_provider(provider.clone());
    let metrics = Metrics::prometheus("shop", "shop-1");
    let redis = Redis::new(RedisConfig::from_env()?.with_metrics(metrics.clone()))?;
    let app = app(&redis, metrics, &provider, registry);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3005").await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
