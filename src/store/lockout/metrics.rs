//! What is counted.

use crate::telemetry::{Counter, Metrics, names};

pub(super) struct LockoutMetrics {
    pub(super) failed: Counter,
    pub(super) succeeded: Counter,
    pub(super) refused: Counter,
    pub(super) locked: Counter,
    pub(super) unlocked: Counter,
    pub(super) merged: Counter,
    pub(super) not_merged: Counter,
}

impl LockoutMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let event = |event| metrics.counter(names::LOCKOUT_EVENTS, &[("event", event)]);
        let replayed = |outcome| {
            let labels = [("feature", "lockout"), ("outcome", outcome)];
            metrics.counter(names::RECOVERY_REPLAYED, &labels)
        };
        Self {
            failed: event("failed"),
            succeeded: event("succeeded"),
            refused: event("refused"),
            locked: event("locked"),
            unlocked: event("unlocked"),
            merged: replayed("applied"),
            not_merged: replayed("failed"),
        }
    }
}
