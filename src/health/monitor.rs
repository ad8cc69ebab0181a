//! How a monitor is started.

use std::sync::Arc;

use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::{broadcast, mpsc, watch},
    time::Instant,
};

use super::{
    HealthConfig, HealthMonitor, Probe,
    atomic_state::AtomicState,
    gauges,
    metrics::HealthMetrics,
    policy::Policy,
    probe::DynProbe,
    shared::{Message, Shared},
    task::Task,
    transitions::KEPT,
};
use crate::{Error, telemetry::Metrics};

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
        let (monitor, messages, policy) = Self::idle(Arc::new(probe), config, metrics);
        let task = Task::new(Arc::clone(&monitor.shared), policy, config.step_timeout());
        drop(runtime.spawn(task.run(messages)));
        Ok(monitor)
    }

    /// A monitor without its task: nothing probes, and nothing changes. With it come what the task
    /// needs: the messages of the handles, and a policy that knows nothing yet.
    pub(super) fn idle(
        probe: Arc<dyn DynProbe>,
        config: &HealthConfig,
        metrics: &Metrics,
    ) -> (Self, mpsc::UnboundedReceiver<Message>, Policy) {
        let start = Instant::now();
        let policy = Policy::new(config.rules(), StdRng::from_rng(&mut rand::rng()));
        let (sender, messages) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            name: config.name(),
            started: start,
            probe,
            state: AtomicState::new(),
            status: watch::Sender::new(policy.status(start)),
            transitions: broadcast::Sender::new(KEPT),
            ended: watch::Sender::new(false),
            steps: Arc::default(),
            probe_requested: false.into(),
            write_suspected: false.into(),
            probe_request: tokio::sync::Notify::new(),
            fallbacks: false.into(),
            metrics: HealthMetrics::new(metrics),
            stale_after: config.stale_after(),
        });
        gauges::register(metrics, &shared);
        (Self { shared, messages: sender }, messages, policy)
    }
}

#[cfg(test)]
#[path = "monitor_tests/mod.rs"]
mod tests;
