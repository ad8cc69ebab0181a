//! `examples/telemetry.rs`: this crate's metrics and the application's own on one page.

use std::{collections::HashSet, net::SocketAddr};

use axum::{body::Body, extract::ConnectInfo};
use evenkeel::{
    redis::{Redis, RedisConfig},
    telemetry::Metrics,
};
use http::Request;
use tower::ServiceExt;

#[allow(dead_code, reason = "its `main` is not run")]
#[path = "../../examples/telemetry.rs"]
mod example;

#[tokio::test]
async fn one_page_has_both_and_each_family_once() {
    let (provider, registry) = example::pipeline().unwrap();
    let metrics = Metrics::prometheus("shop", "shop-1");
    // Nobody is at this address: what is counted without Redis is there, too.
    let config = RedisConfig::new("redis://127.0.0.1:1".parse().unwrap());
    let redis = Redis::new(config.with_metrics(metrics.clone())).unwrap();
    let app = example::app(&redis, metrics, &provider, registry);
    let get = async |path: &str| {
        let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let request = Request::get(path).extension(ConnectInfo(peer)).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    get("/order").await;
    let page = get("/metrics").await;
    let value = |series: &str| {
        let line = page.lines().find(|line| line.starts_with(series));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
    };
    assert_eq!(value("orders_total"), Some(1.0), "{page}");
    assert_eq!(value("redis_available"), Some(0.0), "{page}");
    assert_eq!(value("rate_limit_decisions_total"), Some(1.0), "{page}");
    let mut families = HashSet::new();
    for line in page.lines().filter(|line| line.starts_with("# TYPE ")) {
        assert!(families.insert(line), "twice: {line}");
    }
}
