//! The gauges of a monitor: its state, read at the moment of collection.

use std::{
    sync::{Arc, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{State, atomic_state::StateWord, shared::Shared};
use crate::telemetry::{Metrics, names};

/// Registers the gauges of the monitor that `shared` belongs to. They end with it.
pub(super) fn register(metrics: &Metrics, shared: &Arc<Shared>) {
    let gauge = |name, labels: &[(&'static str, &'static str)], read: fn(StateWord) -> bool| {
        let shared: Weak<Shared> = Arc::downgrade(shared);
        metrics.gauge(name, labels, move || {
            let state = shared.upgrade()?.state.load();
            Some(f64::from(u8::from(read(state))))
        });
    };
    gauge(names::AVAILABLE, &[], StateWord::is_available);
    gauge(names::DEGRADED_MODE, &[], |state| !state.is_available());
    gauge(names::CAPABILITY, &[("capability", "reads")], StateWord::reads);
    gauge(names::CAPABILITY, &[("capability", "writes")], StateWord::writes);
    for shown in State::SHOWN {
        let shared = Arc::downgrade(shared);
        metrics.gauge(names::STATE, &[("state", shown.as_str())], move || {
            let state = shared.upgrade()?.state.load().state();
            Some(f64::from(u8::from(state.as_str() == shown.as_str())))
        });
    }
    let (shared_of_sum, sum) = (Arc::downgrade(shared), Mutex::new(Duration::ZERO));
    metrics.gauge(names::DEGRADED, &[], move || {
        let degraded = shared_of_sum.upgrade()?.status.borrow().degraded_for(Instant::now());
        // At its end an outage is measured by the task's clock, which may be behind the last
        // collection's; to Prometheus a sum that falls has begun again at 0.
        let mut sum = sum.lock();
        *sum = degraded.max(*sum);
        Some(sum.as_secs_f64())
    });
    let (shared, known) = (Arc::downgrade(shared), Mutex::new(None));
    metrics.gauge(names::OUTAGE_START, &[], move || {
        let since = shared.upgrade()?.status.borrow().outage_since;
        Some(since.map_or(0.0, |since| start_of(since, &mut known.lock())))
    });
}

/// The Unix time of `since`. Read from the wall clock once for an outage: read again, it would
/// differ a little at each collection.
fn start_of(since: Instant, known: &mut Option<(Instant, f64)>) -> f64 {
    match *known {
        Some((of, start)) if of == since => start,
        _ => {
            let start = SystemTime::now().checked_sub(since.elapsed());
            let start = start.and_then(|start| start.duration_since(UNIX_EPOCH).ok());
            let start = start.unwrap_or_default().as_secs_f64();
            *known = Some((since, start));
            start
        }
    }
}
