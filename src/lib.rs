//! Keep an HTTP or gRPC service on an even keel while its Redis is slow, gone, wrong, or empty.
//!
//! evenkeel is a set of [tower](https://docs.rs/tower) layers and of the stores behind them, round
//! one shared [`HealthMonitor`](health::HealthMonitor). It works with any `http`-based stack: axum,
//! hyper, tonic, a bare `ServiceBuilder`. The promise: an outage makes a request wait at most one
//! command's deadline in all, whatever the fault; the service starts and stays up without Redis;
//! nothing that guards is lost; and every answer that was given without Redis says so.
//!
#![cfg_attr(
    all(feature = "session", feature = "axum"),
    doc = r##"
```no_run
use axum::{Router, routing::{get, post}};
use std::net::SocketAddr;
use evenkeel::{
    health_router::HealthRouter,
    layer::{CheckRedisLayer, RateLimitLayer, RequireRedisLayer, SessionLayer},
    redis::Redis,
    store::{rate::Quota, session::SessionKeys},
};

# async fn home() {}
# async fn report() {}
# async fn serve(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
let redis = Redis::from_env()?; // returns at once; never fails because Redis is away
let app: Router = Router::new()
    .route("/", get(home))
    .route("/reports", post(report).layer(RequireRedisLayer::new(redis.monitor())))
    .layer(SessionLayer::new(&redis, SessionKeys::from_env()?))
    .layer(RateLimitLayer::new(&redis, Quota::per_minute(100)))
    .layer(CheckRedisLayer::new(redis.monitor()))
    .merge(HealthRouter::new(redis.monitor()));
// With the address of each client: the limit is counted by it.
axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
# Ok(())
# }
```
"##
)]
//!
//! # When Redis is down
//!
//! | part | what it does meanwhile |
//! | --- | --- |
//! | [`RequireRedisLayer`] | 503 with `Retry-After`; as `reads_only`, it serves while reads work |
//! | [`CheckRedisLayer`] | passes the request on; the handler asks [`RedisStatus`] |
//! | [`RateLimitLayer`] | limits by this instance's share; what it admits is charged afterwards |
//! | [`ConcurrencyLimitLayer`] | limits what is in flight here by this instance's share |
//! | [`SessionLayer`] | continues sessions from a sealed cookie; writes changes back afterwards |
//! | [`Cache`] | goes on from memory, then loads, one load at a time; nothing old comes back |
//! | [`RevocationLayer`] | refuses what is known to be revoked; its policy decides the rest |
//! | [`Lockout`] | counts on from what this instance saw; merges upwards afterwards |
//! | [`Capacity`] | the database decides, as it always does; nothing is oversold |
//! | [`Jobs`] | skips what needs Redis; goes on by itself, with one runner among instances |
//! | [`HealthRouter`] | answers from memory; ready while every critical check is up |
//! | [`Redis`] | refuses commands in under a microsecond; a subscription marks the gap |
//!
//! The [guides](guide) say more: which settings, what an operator sees, in which order layers
//! stand.
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `redis` (default) | the handle, the stores and their layers |
//! | `cluster`, `sentinel`, `tls` | the other topologies, `rediss://` |
//! | `cache` | `Cache`: memory before Redis before the database |
//! | `session` | `SessionLayer` and its store |
//! | `tower-sessions` | a store for the `tower-sessions` crate |
//! | `axum` | extractors, `Router` helpers |
//! | `tonic` | `grpc.health.v1` follows the monitor |
//! | `otel`, `prometheus` | metrics into your own OpenTelemetry pipeline; `/metrics` |
//! | `testing` | a monitor under manual control, a service that insists on readiness |
//! | `full` | all but `testing` |
//!
//! Without features there is the monitor (it watches anything with a [`Probe`](health::Probe)), the
//! two layers that stand on it alone, and the health router. A feature adds dependencies and items;
//! none changes behaviour.
//!
//! [`CheckRedisLayer`]: layer::CheckRedisLayer
//! [`HealthRouter`]: health_router::HealthRouter
//! [`RedisStatus`]: layer::RedisStatus
//! [`RequireRedisLayer`]: layer::RequireRedisLayer
#![cfg_attr(
    feature = "redis",
    doc = "
[`RateLimitLayer`]: layer::RateLimitLayer
[`ConcurrencyLimitLayer`]: layer::ConcurrencyLimitLayer
[`RevocationLayer`]: layer::RevocationLayer
[`Lockout`]: store::lockout::Lockout
[`Capacity`]: store::capacity::Capacity
[`Jobs`]: jobs::Jobs
[`Redis`]: redis::Redis"
)]
#![cfg_attr(
    not(feature = "redis"),
    doc = "
[`RateLimitLayer`]: #features
[`ConcurrencyLimitLayer`]: #features
[`RevocationLayer`]: #features
[`Lockout`]: #features
[`Capacity`]: #features
[`Jobs`]: #features
[`Redis`]: #features"
)]
#![cfg_attr(feature = "cache", doc = "[`Cache`]: store::cache::Cache")]
#![cfg_attr(not(feature = "cache"), doc = "[`Cache`]: #features")]
#![cfg_attr(feature = "session", doc = "[`SessionLayer`]: layer::SessionLayer")]
#![cfg_attr(not(feature = "session"), doc = "[`SessionLayer`]: #features")]
// On docs.rs, whose compiler is a nightly one, every item names the feature that it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod accessors;
#[cfg(feature = "redis")]
mod clock;
#[cfg(feature = "redis")]
mod env;
mod error;
#[cfg(feature = "tonic")]
pub mod grpc_health;
#[cfg(doc)]
pub mod guide;
pub mod health;
pub mod health_router;
#[cfg(feature = "redis")]
pub mod jobs;
#[cfg(feature = "redis")]
mod label;
pub mod layer;
#[cfg(feature = "redis")]
mod memory;
#[cfg(feature = "redis")]
pub mod redis;
pub mod respond;
mod retry_after;
mod served;
#[cfg(feature = "redis")]
pub mod store;
mod striped;
#[cfg(all(test, feature = "redis"))]
#[allow(dead_code, unused_imports, reason = "unit tests use a part of the kit")]
#[path = "../tests/support/mod.rs"]
mod support;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(feature = "redis")]
mod units;

pub use error::{Error, ErrorKind};
pub use served::{Served, Source};
