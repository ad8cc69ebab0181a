use std::{error::Error, net::SocketAddr};

use axum::{
    Router,
    routing::{get, post},
};
use evenkeel::{
    health_router::HealthRouter,
    layer::{CheckRedisLayer, RateLimitLayer, RequireRedisLayer, SessionLayer},
    redis::Redis,
    store::{rate::Quota, session::SessionKeys},
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let redis = Redis::from_env()?; // returns at once; never fails because Redis is away
    let report = post(async || "reported").layer(RequireRedisLayer::new(redis.monitor()));
    let app = Router::new()
        .route("/", get(async || "hello"))
        .route("/reports", report)
        .layer(SessionLayer::new(&redis, SessionKeys::from_env()?))
        .layer(RateLimitLayer::new(&redis, Quota::per_minute(100)))
        .layer(CheckRedisLayer::new(redis.monitor()))
        .merge(HealthRouter::new(redis.monitor()));
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    // With the address of each client: the limit is counted by it.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
