//! The counters of a lockout.

use crate::telemetry::{Counter, Metrics, names};

pub(super) struct LockoutMetrics {
    pub(super) failed: Counter,
    pub(super) succeeded: Counter,
    pub(super) refused: Counter,
    pub(super) locked: Counter,
    pub(super) unlocked: Counter,
    /// Changes that were counted with others', for want of room.
    pub(super) overflowed: Counter,
}

impl LockoutMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let event = |event| metrics.counter(names::LOCKOUT_EVENTS, &[("event", event)]);
        Self {
            failed: event("failed"),
            succeeded: event("succeeded"),
            refused: event("refused"),
            locked: event("locked"),
            unlocked: event("unlocked"),
            overflowed: event("overflowed"),
        }
    }
}
