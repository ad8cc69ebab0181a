//! What a capacity counts: `capacity_decisions_total`.

use super::verdict::CapacityVerdict;
use crate::{
    Source,
    telemetry::{Counter, Metrics, names},
};

const SOURCES: [Source; 3] = [Source::Redis, Source::Database, Source::Memory];

pub(super) struct CapacityMetrics {
    granted: [Counter; 3],
    repeated: [Counter; 3],
    full: [Counter; 3],
    failed: [Counter; 3],
    released: [Counter; 3],
    /// A gate that was not one, and gave way.
    pub(super) replaced: Counter,
}

impl CapacityMetrics {
    pub(super) fn new(metrics: &Metrics, capacity: &str) -> Self {
        let counter = |decision, source: Source| {
            let labels =
                [("capacity", capacity), ("decision", decision), ("source", source.as_str())];
            metrics.counter(names::CAPACITY_DECISIONS, &labels)
        };
        let of = |decision| SOURCES.map(|source| counter(decision, source));
        Self {
            granted: of("granted"),
            repeated: of("repeated"),
            full: of("full"),
            failed: of("failed"),
            released: of("released"),
            replaced: counter("gate_replaced", Source::Redis),
        }
    }

    #[inline]
    pub(super) fn decided(&self, verdict: &CapacityVerdict, source: Source) {
        let counters = match verdict {
            CapacityVerdict::Granted { is_repeated: true, .. } => &self.repeated,
            CapacityVerdict::Granted { .. } => &self.granted,
            CapacityVerdict::Full { .. } | CapacityVerdict::TooMany { .. } => &self.full,
        };
        counters[index(source)].add(1);
    }

    pub(super) fn failed(&self, source: Source) {
        self.failed[index(source)].add(1);
    }

    pub(super) fn released(&self, source: Source) {
        self.released[index(source)].add(1);
    }
}

fn index(source: Source) -> usize {
    match source {
        Source::Redis => 0,
        Source::Database => 1,
        _ => 2,
    }
}
