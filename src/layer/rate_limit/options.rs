//! What decides while Redis is away: the choices.

use crate::store::rate::{Policy, RateLimiter, Subject, Verdict};

/// What decides while Redis is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutagePolicy {
    /// This instance, in memory, on its share of the limit (the default).
    #[default]
    Local,
    /// Nobody: everything is admitted and nothing is counted. For limits that are a courtesy.
    Allow,
    /// Nobody: everything is refused, with 503 and not 429. For limits that must not be exceeded by one.
    Deny,
}

impl OutagePolicy {
    /// The verdict without Redis; `None`: there is none, the request is to be refused.
    #[inline]
    pub(super) fn verdict(
        self,
        limiter: &RateLimiter,
        policy: &Policy,
        subject: &Subject,
        now: u64,
        cost: u32,
    ) -> Option<Verdict> {
        match self {
            Self::Local => Some(limiter.local(policy, subject, now, cost)),
            Self::Allow => Some(limiter.local(policy, subject, now, 0)),
            Self::Deny => None,
        }
    }
}
