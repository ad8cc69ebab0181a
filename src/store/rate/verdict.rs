//! A decision, and who took it.

use std::num::NonZeroU32;
use std::time::Duration;

use super::law::{Decision, Retry};

/// Who took a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecisionSource {
    /// Redis: the limit over all instances.
    Redis,
    /// This process, on its share of the limit, because Redis did not serve.
    Memory,
    /// This process, because it knows that Redis would refuse.
    DenyCache,
}

impl DecisionSource {
    /// The word on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Memory => "memory",
            Self::DenyCache => "deny_cache",
        }
    }
}

/// The answer of a rate limit to one request, and who gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateVerdict {
    decision: Decision,
    source: DecisionSource,
    instances: NonZeroU32,
}

impl RateVerdict {
    pub(super) const fn whole(decision: Decision, source: DecisionSource) -> Self {
        Self { decision, source, instances: NonZeroU32::MIN }
    }

    pub(super) const fn share(decision: Decision, instances: NonZeroU32) -> Self {
        Self { decision, source: DecisionSource::Memory, instances }
    }

    /// Whether the request may pass.
    pub const fn allowed(&self) -> bool {
        self.decision.allowed()
    }

    /// `None` when the request is allowed.
    pub fn retry(&self) -> Option<Retry> {
        self.decision.retry()
    }

    /// Cells left in the tightest window, after this request.
    pub const fn remaining(&self) -> u32 {
        self.decision.remaining()
    }

    /// How long until every window is full again, if nothing more is spent.
    pub fn reset_after(&self) -> Duration {
        self.decision.reset_after()
    }

    /// Who took it.
    pub const fn source(&self) -> DecisionSource {
        self.source
    }

    /// Taken without Redis, on this instance's share of the limit.
    pub const fn is_degraded(&self) -> bool {
        matches!(self.source, DecisionSource::Memory)
    }

    /// Among how many instances the limit was divided: 1 unless [degraded](Self::is_degraded).
    pub const fn instances(&self) -> NonZeroU32 {
        self.instances
    }

    pub(crate) const fn decision(&self) -> &Decision {
        &self.decision
    }
}
