//! What `/health/dependencies` adds about Redis, and about a check that has more to say.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::format;
use crate::health::{HealthMonitor, State, Status, Usage};

/// What the application shows beside a check.
#[derive(Clone)]
pub(super) struct CheckDetails(Arc<dyn Fn() -> Value + Send + Sync>);

impl CheckDetails {
    pub(super) fn new<T: Serialize>(details: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || serde_json::to_value(details()).unwrap_or_default()))
    }

    /// `None`: there are none, or they cannot be made.
    pub(super) fn now(&self) -> Option<Value> {
        let details = catch_unwind(AssertUnwindSafe(|| (self.0)())).ok()?;
        (!details.is_null()).then_some(details)
    }
}

/// Everything that is known of Redis and may be shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Details {
    connection_state: &'static str,
    reads: bool,
    writes: bool,
    forced: bool,
    retry_count: u32,
    reconnect_attempts: u64,
    last_error: Option<String>,
    last_error_time: Option<String>,
    /// Of the connection, as in the message.
    uptime: f64,
    url: Option<String>,
    using_fallback: bool,
    outages: u64,
    degraded_seconds: f64,
    server_version: Option<String>,
    topology: Option<&'static str>,
    may_evict: Option<bool>,
    metrics: Metrics,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    hits: u64,
    misses: u64,
    sets: u64,
    deletes: u64,
    errors: u64,
    hit_rate: f64,
}

impl Details {
    pub(super) fn new(monitor: &HealthMonitor, status: &Status) -> Self {
        let known = monitor.details();
        let connected = status.state == State::Connected;
        Self {
            connection_state: status.state.as_str(),
            reads: status.reads,
            writes: status.writes,
            forced: status.forced,
            retry_count: status.retry_count,
            reconnect_attempts: status.reconnect_attempts,
            last_error: status.last_fault.map(|(fault, _)| fault.to_string()),
            last_error_time: status.last_fault.map(|(_, at)| format::rfc3339(format::at(at))),
            uptime: if connected { format::seconds(status.since.elapsed()) } else { 0.0 },
            url: known.url,
            using_fallback: monitor.uses_fallback(),
            outages: status.outages,
            degraded_seconds: format::seconds(status.degraded_for(Instant::now())),
            server_version: known.server_version,
            topology: known.topology,
            may_evict: known.may_evict,
            metrics: Metrics::new(known.usage),
        }
    }
}

impl Metrics {
    fn new(usage: Usage) -> Self {
        Self {
            hits: usage.hits,
            misses: usage.misses,
            sets: usage.sets,
            deletes: usage.deletes,
            errors: usage.errors,
            hit_rate: format::rounded(usage.hit_rate()),
        }
    }
}
