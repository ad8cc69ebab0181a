//! Settings of the revocations.

use std::time::Duration;

use super::UnknownPolicy;

/// How revocations are kept and judged. Every setting has a default.
///
/// ```
/// use std::time::Duration;
/// use evenkeel::store::revocation::{UnknownPolicy, RevocationConfig};
///
/// let config = RevocationConfig::default()
///     .with_policy(UnknownPolicy::Open)
///     .with_token_life(Duration::from_secs(3600));
/// ```
#[derive(Debug, Clone)]
pub struct RevocationConfig {
    pub(super) policy: UnknownPolicy,
    pub(super) token_life: Duration,
    pub(super) bound: usize,
}

impl Default for RevocationConfig {
    fn default() -> Self {
        Self {
            policy: UnknownPolicy::Closed,
            token_life: Duration::from_secs(30 * 24 * 60 * 60),
            bound: 1_000_000,
        }
    }
}

impl RevocationConfig {
    /// What becomes of a token that cannot be judged. Default [`UnknownPolicy::Closed`].
    #[must_use]
    pub fn with_policy(mut self, policy: UnknownPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The longest that any token lives: cut-offs are kept for so long. A longer time is safe, a shorter one
    /// is not. Default 30 days, at most a century.
    #[must_use]
    pub fn with_token_life(mut self, life: Duration) -> Self {
        self.token_life = life.min(super::store::CENTURY);
        self
    }

    /// The most revocations that this instance keeps in memory, about 60 bytes each. Default 1 000 000, at least 1.
    ///
    /// Beyond it Redis alone holds what is new, and tokens issued before then are judged with Redis only. When there is no
    /// room for what Redis does not know, everything that was issued until then is revoked: nothing is
    /// silently accepted.
    #[must_use]
    pub fn with_bound(mut self, bound: usize) -> Self {
        self.bound = bound.max(1);
        self
    }
}
