//! `examples/limits.rs`: budgets by method and route, and one that counts failed answers only.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use evenkeel::redis::{Redis, RedisConfig};
use http::{Method, Request, StatusCode};
use tower::ServiceExt;

use super::support::RedisServer;

#[allow(dead_code, reason = "its `main` is not run")]
#[path = "../../../examples/limits.rs"]
mod example;

async fn send(app: &Router, method: Method, path: &str) -> StatusCode {
    let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let request = Request::builder().method(method).uri(path).extension(ConnectInfo(peer));
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
}

/// How many of twice as many requests pass.
async fn passed(app: &Router, method: Method, path: &str, limit: usize) -> usize {
    let mut passed = 0;
    for _ in 0..2 * limit {
        passed += usize::from(send(app, method.clone(), path).await == StatusCode::OK);
    }
    passed
}

#[tokio::test]
async fn each_budget_is_its_own() {
    let server = RedisServer::start().await;
    let connected = Redis::new(RedisConfig::new(server.url().parse().unwrap())).unwrap();
    assert!(connected.monitor().wait_available(Duration::from_secs(20)).await);
    let away = Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap();
    for redis in [connected, away] {
        let app = example::app(&redis);
        // One more may pass while the bucket fills up again.
        assert!((10..=11).contains(&passed(&app, Method::POST, "/articles", 10).await));
        assert!((100..=102).contains(&passed(&app, Method::GET, "/articles", 100).await));
        assert!((30..=31).contains(&passed(&app, Method::GET, "/search", 30).await));
        assert!((30..=31).contains(&passed(&app, Method::GET, "/export", 30).await));

        for _ in 0..20 {
            assert_eq!(send(&app, Method::GET, "/coupons/SPRING").await, StatusCode::OK);
        }
        let mut wrong = Vec::new();
        for _ in 0..10 {
            wrong.push(send(&app, Method::GET, "/coupons/GUESS").await);
        }
        let judged = wrong.iter().filter(|status| **status == StatusCode::NOT_FOUND).count();
        assert_eq!(judged, 5, "{wrong:?}");
        let refused = send(&app, Method::GET, "/coupons/SPRING").await;
        assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    }
}
