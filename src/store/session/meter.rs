//! What is counted.

use std::sync::OnceLock;

use crate::telemetry::{Counter, Metrics, names};

/// `operation` of `session_operations_total`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    Load,
    Create,
    Change,
    Touch,
    NewId,
    Delete,
    Restore,
    WriteBack,
}

/// `outcome` of `session_operations_total`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Ok,
    /// Without Redis.
    Stateless,
    Absent,
    /// Not now.
    Unavailable,
    /// Logged out, or older than what was seen here.
    Refused,
    /// Somebody else had changed the same.
    Conflict,
}

const OPERATIONS: [&str; 8] =
    ["load", "create", "change", "touch", "new_id", "delete", "restore", "write_back"];
const OUTCOMES: [&str; 6] = ["ok", "stateless", "absent", "unavailable", "refused", "conflict"];

/// Counters, made when first used.
pub(super) struct Meter {
    metrics: Metrics,
    counters: [[OnceLock<Counter>; OUTCOMES.len()]; OPERATIONS.len()],
    replayed: [OnceLock<Counter>; 3],
}

/// `outcome` of `redis_recovery_replayed_total`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Replayed {
    Applied,
    Discarded,
    Failed,
}

const REPLAYED: [&str; 3] = ["applied", "discarded", "failed"];

impl Meter {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.clone(),
            counters: Default::default(),
            replayed: Default::default(),
        }
    }

    pub(super) fn count(&self, operation: Operation, outcome: Outcome) {
        let (operation, outcome) = (operation as usize, outcome as usize);
        let counter = self.counters[operation][outcome].get_or_init(|| {
            let labels = [("operation", OPERATIONS[operation]), ("outcome", OUTCOMES[outcome])];
            self.metrics.counter(names::SESSION_OPERATIONS, &labels)
        });
        counter.add(1);
    }

    pub(super) fn replayed(&self, outcome: Replayed, more: u64) {
        let outcome = outcome as usize;
        let counter = self.replayed[outcome].get_or_init(|| {
            let labels = [("feature", "session"), ("outcome", REPLAYED[outcome])];
            self.metrics.counter(names::RECOVERY_REPLAYED, &labels)
        });
        counter.add(more);
    }
}
