//! The gauges of a monitor: its state, read at the moment of collection.

use std::sync::{Arc, Weak};

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
}
