//! What callers are told: who knows of a revocation, and what a check decided.

use super::law::{RevocationStatus, UnknownPolicy};
use crate::Source;

/// Who knows of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "it may only be noted here"]
pub enum Propagation {
    /// Redis, and so every instance.
    Propagated,
    /// This instance, and its [`Journal`](crate::store::Journal) if it has one. It is pushed to
    /// Redis as soon as that serves, after an outage before it counts as available again.
    Pending,
}

impl Propagation {
    /// Redis knows.
    pub const fn is_propagated(self) -> bool {
        matches!(self, Self::Propagated)
    }
}

/// The outcome of one check, with the policy applied. The layer puts it into the request's
/// extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RevocationDecision {
    /// What is known of the token.
    pub status: RevocationStatus,
    /// Who said so: Redis, or this instance's memory.
    pub source: Source,
    pub(super) policy: UnknownPolicy,
}

impl RevocationDecision {
    /// The token may be used: it is clear, or nobody can tell and the policy is
    /// [`UnknownPolicy::Open`].
    pub fn is_admitted(self) -> bool {
        match self.status {
            RevocationStatus::Revoked => false,
            RevocationStatus::Clear => true,
            RevocationStatus::Unknown => self.policy == UnknownPolicy::Open,
        }
    }
}
