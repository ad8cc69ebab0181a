//! The counters of the session store.

use std::sync::OnceLock;

use crate::telemetry::{Counter, Feature, Metrics, Replayed, names};

/// `operation` of `session_operations_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Load,
    Create,
    Change,
    Touch,
    NewId,
    Delete,
    Restore,
    WriteBack,
    /// The end of a session, for want of room.
    Forget,
}

/// `outcome` of `session_operations_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

const OPERATIONS: [&str; 9] =
    ["load", "create", "change", "touch", "new_id", "delete", "restore", "write_back", "forget"];
const OUTCOMES: [&str; 6] = ["ok", "stateless", "absent", "unavailable", "refused", "conflict"];

/// The counters. Those of an operation that goes well and of what is replayed are there from the
/// start, others when they are first used: most operations cannot have most outcomes.
pub(super) struct SessionMetrics {
    metrics: Metrics,
    counters: [[OnceLock<Counter>; OUTCOMES.len()]; OPERATIONS.len()],
    /// What clients bring from an outage; what the backlog pushes is counted there.
    pub(super) replayed: Replayed,
}

impl SessionMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let replayed = Feature::Session.replayed(metrics);
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
}
