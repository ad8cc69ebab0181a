//! Items, read through the cache and written through it.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderName, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use evenkeel::{
    redis::Redis,
    store::cache::{Cache, Cached},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{database::Database, errors};

const RESULT: HeaderName = HeaderName::from_static("x-cache");
const TIER: HeaderName = HeaderName::from_static("x-cache-tier");
const MODE: HeaderName = HeaderName::from_static("x-cache-mode");

/// A row of the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) id: u32,
    pub(crate) value: String,
    pub(crate) version: u64,
}

/// The items, and what is cached of them.
#[derive(Clone)]
pub(crate) struct Items {
    cache: Cache<Item>,
    database: Database,
}

impl Items {
    pub(crate) async fn open(
        redis: &Redis,
        database: &Database,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        database.prepare_items().await?;
        let cache = Cache::builder(redis, "items")
            .with_ttl(Duration::from_secs(60))
            .with_stale_for(Duration::from_secs(600))
            .build()?;
        Ok(Self { cache, database: database.clone() })
    }
}

pub(crate) fn routes(items: Items) -> Router {
    Router::new().route("/items/{id}", get(read).put(write)).with_state(items)
}

async fn read(State(items): State<Items>, Path(id): Path<u32>) -> Response {
    let database = items.database.clone();
    match items.cache.get_or_load(key(id), || async move { database.item(id).await }).await {
        Ok(cached) => answer(cached),
        Err(error) => errors::database_is_down(&error),
    }
}

fn answer(cached: Cached<Option<Item>>) -> Response {
    let headers =
        [(RESULT, cached.result()), (TIER, cached.tier.as_str()), (MODE, cached.mode.as_str())];
    match cached.value {
        Some(item) => (headers, Json(item)).into_response(),
        None => (StatusCode::NOT_FOUND, headers, "there is no such item").into_response(),
    }
}

#[derive(Deserialize)]
struct NewValue {
    value: String,
}

async fn write(
    State(items): State<Items>,
    Path(id): Path<u32>,
    Json(new): Json<NewValue>,
) -> Response {
    let write = items.database.write_item(id, new.value);
    match items.cache.write_through(key(id), write).await {
        Ok((item, _)) => Json(json!(item)).into_response(),
        Err(error) => errors::database_is_down(&error),
    }
}

fn key(id: u32) -> String {
    id.to_string()
}
