//! What a check decided.

use super::law::{RevocationStatus, UnknownPolicy};
use crate::Source;

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
