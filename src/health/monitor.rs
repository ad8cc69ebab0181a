//! How a monitor is started.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, mpsc, watch},
    time::Instant,
};

use super::{
    HealthMonitor, Probe, State, Status,
    atomic_state::AtomicState,
    gauges,
    metrics::HealthMetrics,
    probe::DynProbe,
    shared::{Message, Shared},
    task::Task,
    transitions::KEPT,
};
use crate::{Error, health::HealthConfig, telemetry::Metrics};

impl HealthMonitor {
    /// Watches `probe`, from now on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) outside a tokio runtime.
    pub fn start(
        probe: impl Probe,
        config: &HealthConfig,
        metrics: &Metrics,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Error::config("a health monitor needs a running tokio runtime"))?;
        let start = Instant::now();
        let (monitor, messages) = Self::idle(Arc::new(probe), config, metrics, start);
        let task = Task::new(Arc::clone(&monitor.shared), config);
        drop(runtime.spawn(task.run(messages)));
        Ok(monitor)
    }

    /// A monitor without its task: nothing probes, and nothing changes.
    pub(super) fn idle(
        probe: Arc<dyn DynProbe>,
        config: &HealthConfig,
        metrics: &Metrics,
        start: Instant,
    ) -> (Self, mpsc::UnboundedReceiver<Message>) {
        let status = Status {
            state: State::Connecting,
            reads: false,
            writes: false,
            forced: false,
            since: start,
            verified: None,
            last_fault: None,
            response_time: None,
            retry_count: 0,
            reconnect_attempts: 0,
            outages: 0,
            outage_since: None,
            degraded: Duration::ZERO,
            next_attempt: start,
        };
        let (sender, messages) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            name: config.name(),
            started: start,
            probe,
            state: AtomicState::new(),
            status: watch::Sender::new(status),
            transitions: broadcast::Sender::new(KEPT),
            steps: Arc::default(),
            probe_requested: false.into(),
            probe_request: tokio::sync::Notify::new(),
            fallbacks: false.into(),
            metrics: HealthMetrics::new(metrics),
            stale_after: config.stale_after(),
        });
        gauges::register(metrics, &shared);
        (Self { shared, messages: sender }, messages)
    }
}

#[cfg(test)]
#[path = "monitor_tests/mod.rs"]
mod tests;
