//! The counters of checks.

use super::law::{RevocationStatus, UnknownPolicy};
use crate::telemetry::{Counter, Metrics, names};

pub(super) struct RevocationMetrics {
    revoked: Counter,
    clear: Counter,
    unknown_refused: Counter,
    unknown_admitted: Counter,
}

impl RevocationMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let check = |result| metrics.counter(names::REVOCATION_CHECKS, &[("result", result)]);
        Self {
            revoked: check("revoked"),
            clear: check("clear"),
            unknown_refused: check("unknown_refused"),
            unknown_admitted: check("unknown_admitted"),
        }
    }

    #[inline]
    pub(super) fn record(&self, status: RevocationStatus, policy: UnknownPolicy) {
        let counter = match (status, policy) {
            (RevocationStatus::Revoked, _) => &self.revoked,
            (RevocationStatus::Clear, _) => &self.clear,
            (RevocationStatus::Unknown, UnknownPolicy::Closed) => &self.unknown_refused,
            (RevocationStatus::Unknown, UnknownPolicy::Open) => &self.unknown_admitted,
        };
        counter.add(1);
    }
}
