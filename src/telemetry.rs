//! Metrics: what is counted and measured, and the only place that knows whether OpenTelemetry is
//! there.
//!
//! [`Metrics`] is handed to whatever counts (a monitor, a Redis handle, a layer). The hot path adds
//! to plain atomics; they are read when somebody collects:
//!
//! | | who reads | feature |
//! | --- | --- | --- |
//! | [`Metrics::new`] | nobody | – |
//! | `Metrics::global` | the application's own OpenTelemetry pipeline | `otel` |
//! | `Metrics::prometheus` | whoever scrapes [`/metrics`](crate::health_router) | `prometheus` |
//!
//! # When Redis is down
//!
//! Nothing here needs Redis. `redis_available`, `redis_degraded_mode`, `redis_state` and
//! `redis_capability` are read from the monitor at the moment of collection.

mod counter;
mod export;
mod family;
mod feature;
mod gauge;
mod histogram;
pub(crate) mod names;
#[cfg(feature = "otel")]
mod otel;
#[cfg(feature = "prometheus")]
mod prometheus;
mod registry;
#[cfg(test)]
#[cfg(feature = "prometheus")]
mod tests;

pub(crate) use counter::Counter;
#[allow(unused_imports, reason = "without Redis nothing is answered without it")]
pub(crate) use feature::{Feature, Replayed};
pub(crate) use histogram::Histogram;
pub use registry::Metrics;

/// The media type of what Prometheus scrapes.
pub(crate) const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
