//! Health and metrics over HTTP: is it alive, is it ready, and what is the matter?
//!
//! | path | status | body |
//! | --- | --- | --- |
//! | `/health/live` | 200 | `{"status":"ok","uptime":12.3}` |
//! | `/health/ready`, `/health` | 200; 503 if a critical one is down | one entry per dependency |
//! | `/health/dependencies` | the same | the same, and the details of Redis |
//! | `/metrics` | 200 | the text for Prometheus, [if asked for](HealthRouter::with_metrics) |
//!
//! The documents are `application/json`, or `application/health+json` for a client that asks for
//! it. `HEAD` works; other methods get 405. Nothing is cacheable.
//!
//! [`HealthRouter`] is a service for any `http` stack:
//!
#![cfg_attr(feature = "axum", doc = "```")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore")]
//! use axum::{Router, routing::get};
//! use evenkeel::{health::HealthMonitor, health_router::HealthRouter};
//!
//! # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
//! # fn demo(monitor: &HealthMonitor) -> Router {
//! let health = HealthRouter::new(monitor)
//!     .with_version(env!("CARGO_PKG_VERSION"))
//!     .critical("database", || ping());
//! Router::new().route("/", get(|| async { "hello" })).merge(health)
//! # }
//! ```
//!
//! The paths are a choice, and some dependencies can be asked about by themselves:
//!
//! ```
//! use evenkeel::{health::HealthMonitor, health_router::{HealthPath, HealthRouter}};
//!
//! # fn demo(monitor: &HealthMonitor) -> HealthRouter {
//! HealthRouter::new(monitor)
//!     .with_path(HealthPath::Live, "/livez")
//!     .with_path(HealthPath::Ready, "/readyz")
//!     .with_group("/startupz", ["database"])
//!     .with_prefix("/internal")
//! # }
//! ```
//!
//! Without axum it is a [`tower::Service`] by itself, or [a layer](HealthRouter::layer) in front of
//! one.
//!
//! # When Redis is down
//!
//! No probe ever causes I/O to Redis: everything about Redis comes from the monitor's memory. Redis
//! is optional unless [`redis_critical`](HealthRouter::redis_critical) says otherwise, so an outage
//! reads as `degraded` with status 200, and no instance is taken out of rotation for it.

mod answer;
#[cfg(feature = "axum")]
mod axum;
mod body;
mod check;
mod details;
mod entry;
mod format;
mod health_json;
mod layer;
mod paths;
mod redis;
mod report;
mod router;
mod service;

pub use body::HealthBody;
pub use layer::{HealthLayer, HealthService, HealthServiceFuture};
pub use paths::HealthPath;
pub use router::HealthRouter;
pub use service::HealthFuture;
