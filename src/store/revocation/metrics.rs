//! What is counted.

use super::{RevocationStatus, UnknownPolicy};
use crate::telemetry::{Counter, Metrics, names};

pub(super) struct RevocationMetrics {
    revoked: Counter,
    clear: Counter,
    unknown_refused: Counter,
    unknown_admitted: Counter,
    applied: Counter,
    discarded: Counter,
    failed: Counter,
}

impl RevocationMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let check = |result| metrics.counter(names::REVOCATION_CHECKS, &[("result", result)]);
        let replayed = |outcome| {
            let labels = [("feature", "revocation"), ("outcome", outcome)];
            metrics.counter(names::RECOVERY_REPLAYED, &labels)
        };
        Self {
            revoked: check("revoked"),
            clear: check("clear"),
            unknown_refused: check("unknown_refused"),
            unknown_admitted: check("unknown_admitted"),
            applied: replayed("applied"),
            discarded: replayed("discarded"),
            failed: replayed("failed"),
        }
    }

    #[inline]
    pub(super) fn checked(&self, status: RevocationStatus, policy: UnknownPolicy) {
        let counter = match (status, policy) {
            (RevocationStatus::Revoked, _) => &self.revoked,
            (RevocationStatus::Clear, _) => &self.clear,
            (RevocationStatus::Unknown, UnknownPolicy::Closed) => &self.unknown_refused,
            (RevocationStatus::Unknown, UnknownPolicy::Open) => &self.unknown_admitted,
        };
        counter.add(1);
    }

    /// Of so many that were pushed, Redis did not know some.
    pub(super) fn pushed(&self, new: usize, of: usize) {
        self.applied.add(new as u64);
        self.discarded.add(of.saturating_sub(new) as u64);
    }

    pub(super) fn not_pushed(&self, count: usize) {
        self.failed.add(count as u64);
    }
}
