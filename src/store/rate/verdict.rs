//! A decision, and who took it.

use std::num::NonZeroU32;
use std::ops::Deref;

use super::law::Decision;

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

/// A [`Decision`], and who took it. Reads as the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    decision: Decision,
    source: DecisionSource,
    instances: NonZeroU32,
}

impl Verdict {
    pub(crate) const fn whole(decision: Decision, source: DecisionSource) -> Self {
        Self { decision, source, instances: NonZeroU32::MIN }
    }

    pub(crate) const fn share(decision: Decision, instances: NonZeroU32) -> Self {
        Self { decision, source: DecisionSource::Memory, instances }
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
}

impl Deref for Verdict {
    type Target = Decision;

    fn deref(&self) -> &Decision {
        &self.decision
    }
}
