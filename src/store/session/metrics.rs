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

/// The counters. Those of an operation that goes well and of what is replayed are there from the start, others when they
/// are first used: most operations cannot have most outcomes.
pub(super) struct SessionMetrics {
    metrics: Metrics,
    counters: [[OnceLock<Counter>; OUTCOMES.len()]; OPERATIONS.len()],
    replayed: [Counter; REPLAYED.len()],
}

/// `outcome` of `redis_recovery_replayed_total`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Replayed {
    Applied,
    Discarded,
    Failed,
}

const REPLAYED: [&str; 3] = ["applied", "discarded", "failed"];

impl SessionMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let replayed = REPLAYED.map(|outcome| {
            let labels = [("feature", "session"), ("outcome", outcome)];
            metrics.counter(names::RECOVERY_REPLAYED, &labels)
        });
        let metrics = Self { metrics: metrics.clone(), counters: Default::default(), replayed };
        for operation in 0..OPERATIONS.len() {
            let _ = metrics.counter(operation, Outcome::Ok as usize);
        }
        metrics
    }

    fn counter(&self, operation: usize, outcome: usize) -> &Counter {
        self.counters[operation][outcome].get_or_init(|| {
            let labels = [("operation", OPERATIONS[operation]), ("outcome", OUTCOMES[outcome])];
            self.metrics.counter(names::SESSION_OPERATIONS, &labels)
        })
    }

    pub(super) fn count(&self, operation: Operation, outcome: Outcome) {
        self.counter(operation as usize, outcome as usize).add(1);
    }

    pub(super) fn replayed(&self, outcome: Replayed, more: u64) {
        self.replayed[outcome as usize].add(more);
    }
}
