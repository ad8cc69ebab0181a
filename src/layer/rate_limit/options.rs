//! Choices.

use std::sync::atomic::{AtomicBool, Ordering};

use super::key::Key;
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

/// What becomes of a request that the [key](super::Key) finds nothing in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingKey {
    /// All such requests share one budget (the default).
    #[default]
    Shared,
    /// It is admitted, and not counted.
    Allow,
    /// It is refused: 400, or gRPC's `INVALID_ARGUMENT`.
    Refuse,
}

impl MissingKey {
    /// Whom a request without a key counts for, where all such share. The first one is told in the log.
    #[cold]
    pub(in crate::layer) fn shared(self, key: &Key, warned: &AtomicBool) -> Option<Subject> {
        if self != Self::Shared {
            return None;
        }
        if !warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(?key, "a request without a key: all of them share one limit");
        }
        Some(Subject::text("(no key)"))
    }
}
