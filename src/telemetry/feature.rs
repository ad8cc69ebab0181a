//! The features of this crate as the label `feature` names them, and the counters that carry it.

#![allow(dead_code, reason = "a word is used by the feature that it belongs to")]

use super::{counter::Counter, names, registry::Metrics};

/// A feature that answers without Redis, and tells Redis afterwards what it missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Feature {
    RateLimit,
    Session,
    Cache,
    Revocation,
    Lockout,
    Presence,
    PubSub,
    Counter,
    /// Has no answers to count: it needs rights.
    Jobs,
}

impl Feature {
    /// The value of the label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit",
            Self::Session => "session",
            Self::Cache => "cache",
            Self::Revocation => "revocation",
            Self::Lockout => "lockout",
            Self::Presence => "presence",
            Self::PubSub => "pubsub",
            Self::Counter => "counter",
            Self::Jobs => "jobs",
        }
    }

    /// `redis_fallback_hits_total` of this feature: the answers that it gave without Redis.
    pub(crate) fn fallback_hits(self, metrics: &Metrics) -> Counter {
        metrics.counter(names::FALLBACK_HITS, &[("feature", self.as_str())])
    }

    /// `redis_recovery_replayed_total` of this feature, with all its outcomes.
    pub(crate) fn replayed(self, metrics: &Metrics) -> Replayed {
        let counter = |outcome| {
            let labels = [("feature", self.as_str()), ("outcome", outcome)];
            metrics.counter(names::RECOVERY_REPLAYED, &labels)
        };
        Replayed {
            applied: counter("applied"),
            discarded: counter("discarded"),
            failed: counter("failed"),
        }
    }
}

/// What was noted without Redis and brought to it afterwards: `redis_recovery_replayed_total`.
#[derive(Debug, Clone)]
pub(crate) struct Replayed {
    /// Redis took it.
    pub(crate) applied: Counter,
    /// Redis knew it, or something newer, already.
    pub(crate) discarded: Counter,
    /// Redis refused it.
    pub(crate) failed: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_feature_counts_in_the_same_place() {
        let metrics = Metrics::new();
        Feature::Lockout.replayed(&metrics).failed.add(2);
        Feature::Lockout.replayed(&metrics).failed.add(3);
        Feature::Session.replayed(&metrics).failed.add(7);
        assert_eq!(Feature::Lockout.replayed(&metrics).failed.value(), 5);
        assert_eq!(Feature::Lockout.replayed(&metrics).applied.value(), 0);
        Feature::PubSub.fallback_hits(&metrics).add(1);
        assert_eq!(metrics.counter(names::FALLBACK_HITS, &[("feature", "pubsub")]).value(), 1);
    }
}
