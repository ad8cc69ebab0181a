//! What the monitor knows, in the words of the health page.

use serde::Serialize;
use tokio::time::Instant;

use super::{
    format,
    report::{Entry, Kind, Standing},
};
use crate::health::{FaultClass, HealthMonitor, State, Status, Usage};

pub(super) fn entry(monitor: &HealthMonitor, critical: bool, with_details: bool) -> Entry {
    let status = monitor.status();
    Entry {
        kind: Kind::Datastore,
        critical,
        standing: standing(&status),
        message: Some(message(&status)),
        // While it does not answer, the last answer's time says nothing.
        response_time: status.response_time.filter(|_| status.reads).map(format::milliseconds),
        at: format::at(status.verified.unwrap_or_else(Instant::now)),
        details: with_details.then(|| Details::new(monitor, &status)),
    }
}

fn standing(status: &Status) -> Standing {
    match (status.reads, status.writes) {
        (true, true) => Standing::Up,
        (true, false) => Standing::Degraded,
        _ if status.state == State::Recovering => Standing::Degraded,
        _ => Standing::Down,
    }
}

fn message(status: &Status) -> String {
    let seconds = status.since.elapsed().as_secs();
    let why = status.last_fault.map(|(fault, _)| format!(": {fault}")).unwrap_or_default();
    match status.state {
        State::Connected if !status.reads => {
            let seconds = status.verified.map_or(seconds, |at| at.elapsed().as_secs());
            format!("Not confirmed for {seconds}s")
        }
        State::Connected if !status.writes => {
            format!("Connected for {seconds}s, writes gone{}", writes_gone(status))
        }
        State::Connected => format!("Connected for {seconds}s"),
        State::Recovering => format!("Recovering for {seconds}s"),
        State::Connecting => format!("Connecting for {seconds}s{why}"),
        State::Suspect => format!("In doubt{why}"),
        State::Disconnected => format!("Disconnected for {seconds}s{why}"),
        State::Failed => format!("Failed for {seconds}s{why}"),
    }
}

/// The code, if the newest fault is the one that took writes away.
fn writes_gone(status: &Status) -> String {
    match status.last_fault {
        Some((fault, _))
            if matches!(fault.class(), FaultClass::WritesGone | FaultClass::WrongNode)
                && !fault.code().is_empty() =>
        {
            format!(": {}", fault.code())
        }
        _ => String::new(),
    }
}

/// Everything that is known and may be shown.
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
    fn new(monitor: &HealthMonitor, status: &Status) -> Self {
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
