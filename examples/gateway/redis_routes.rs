//! One route that needs Redis, and one that can do without.

use axum::{Json, Router, routing::get};
use evenkeel::layer::{CheckRedisLayer, RedisStatus, RequireRedisLayer};
use serde_json::{Value, json};

use crate::app::App;

pub(crate) fn routes(app: &App) -> Router {
    let monitor = app.redis.monitor();
    // `route_layer`: another method than GET is refused as such, Redis or no Redis.
    Router::new()
        .route("/strict", get(strict).route_layer(RequireRedisLayer::new(monitor)))
        .route("/soft", get(soft).route_layer(CheckRedisLayer::new(monitor)))
}

async fn strict() -> Json<Value> {
    Json(json!({ "ok": true }))
}

async fn soft(redis: RedisStatus) -> Json<Value> {
    Json(json!({ "redisAvailable": redis.is_available() }))
}
