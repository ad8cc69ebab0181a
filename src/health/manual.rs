//! A monitor without a task, whose state a test sets.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Fault, FaultClass, HealthMonitor, Probe, ProbeAnswer, ProbeOptions, State, Transition,
    shared::Shared,
};
use crate::{health::HealthConfig, telemetry::Metrics};

/// Longer than any test: a state that was set stays confirmed until another is set.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Sets what the [`HealthMonitor`] of [`testing::monitor`](crate::testing::monitor) knows.
///
/// Every change is announced as a real monitor announces it: to [`HealthMonitor::watch`] and to
/// [`HealthMonitor::transitions`]. When this is dropped, the state stays as it is.
pub struct ManualControl {
    shared: Arc<Shared>,
    sequence: u64,
}

impl fmt::Debug for ManualControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualControl").field("status", &*self.shared.status.borrow()).finish()
    }
}

/// Nothing is there to be probed, and no task probes it.
struct Nothing;

impl Probe for Nothing {
    async fn probe(&self, _: ProbeOptions) -> Result<ProbeAnswer, Fault> {
        Err(Fault::new(FaultClass::Transport, "manual"))
    }
}

impl ManualControl {
    pub(crate) fn monitor() -> (HealthMonitor, Self) {
        let config = HealthConfig::new("redis").with_probe_interval(FOR_EVER);
        let probe = Arc::new(Nothing);
        let (monitor, ..) = HealthMonitor::idle(probe, &config, &Metrics::default());
        let shared = Arc::clone(&monitor.shared);
        (monitor, Self { shared, sequence: 0 })
    }

    /// From now on the monitor is in this state, and reads and writes work as said.
    pub fn set_state(&mut self, state: State, reads: bool, writes: bool) {
        self.apply(state, reads, writes, None);
    }

    /// Connected; reads and writes work.
    pub fn up(&mut self) {
        self.set_state(State::Connected, true, true);
    }

    /// Disconnected, because of this fault.
    pub fn down(&mut self, fault: Fault) {
        self.apply(State::Disconnected, false, false, Some(fault));
    }

    /// Connected; reads work and writes do not, because of this fault.
    pub fn writes_gone(&mut self, fault: Fault) {
        self.apply(State::Connected, true, false, Some(fault));
    }

    /// When the next attempt would be due: what [`HealthMonitor::retry_after`] starts from.
    pub fn next_attempt_in(&mut self, wait: Duration) {
        self.shared.status.send_modify(|status| status.next_attempt = Instant::now() + wait);
    }

    /// Whether a probe was requested since this was last called.
    pub fn was_probe_requested(&mut self) -> bool {
        self.shared.probe_requested.swap(false, std::sync::atomic::Ordering::Relaxed)
    }

    fn apply(&mut self, state: State, reads: bool, writes: bool, cause: Option<Fault>) {
        let now = Instant::now();
        loop {
            let seen = self.shared.state.load();
            if self.shared.state.publish(seen, seen.next(state, reads, writes, false)).is_ok() {
                break;
            }
        }
        let mut from = state;
        self.shared.status.send_modify(|status| {
            from = std::mem::replace(&mut status.state, state);
            (status.reads, status.writes, status.forced) = (reads, writes, false);
            (status.since, status.verified) = (now, Some(now));
            status.last_fault = cause.map(|fault| (fault, now)).or(status.last_fault);
            let (was_out, is_out) = (status.outage_since.is_some(), state == State::Disconnected);
            if is_out && !was_out {
                status.outages += 1;
                status.outage_since = Some(now);
            } else if state == State::Connected {
                status.degraded = status.degraded_for(now);
                status.outage_since = None;
            }
        });
        self.sequence += 1;
        let status = *self.shared.status.borrow();
        let _ = self.shared.transitions.send(Transition {
            sequence: self.sequence,
            from,
            status,
            cause,
        });
    }
}
