//! A refusal as a value: why, and when to come back.

use std::time::Duration;

use http::StatusCode;

use crate::{
    health::{HealthMonitor, State},
    retry_after::whole_seconds_up,
};

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The answer needs Redis, and Redis is not there: 503, or gRPC's `UNAVAILABLE`.
    Unavailable {
        /// What was known of Redis. [`State::Connected`] here means that writes were needed and
        /// only reads work.
        state: State,
    },
    /// Too many requests: 429, or gRPC's `RESOURCE_EXHAUSTED`.
    RateLimited,
    /// The request does not say whom it is to be counted for, and has to: 400, or gRPC's
    /// `INVALID_ARGUMENT`.
    NoKey,
    /// The server does not tell the address of its clients, by which this request is to be counted:
    /// 500, or gRPC's `INTERNAL`. A fault of the wiring, see
    #[cfg_attr(
        feature = "redis",
        doc = "[`MissingAddress`](crate::layer::client_key::MissingAddress)."
    )]
    #[cfg_attr(not(feature = "redis"), doc = "`MissingAddress` (feature `redis`).")]
    NoPeerAddress,
    /// The token has been revoked: 401, or gRPC's `UNAUTHENTICATED`.
    Revoked,
    /// The session was put back after a loss, and this needs a user who has authenticated since:
    /// 401, or gRPC's `UNAUTHENTICATED`.
    NotFresh,
}

/// A refusal: why, and when to come back.
///
/// It is in the extensions of every response that refuses, so that what stands further out (logs,
/// metrics, an error page) can tell it from a 503 of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Refusal {
    kind: RefusalKind,
    retry_after: Option<u64>,
}

impl Refusal {
    /// Redis is needed and is not there. The state and the wait are the monitor's.
    pub fn unavailable(monitor: &HealthMonitor) -> Self {
        let retry_after = Some(whole_seconds_up(monitor.retry_after()));
        Self { kind: RefusalKind::Unavailable { state: monitor.state() }, retry_after }
    }

    /// Too many requests: a request sent after this wait is admitted. `None`: no wait will do, the
    /// request costs more than is ever admitted at once.
    pub fn rate_limited(wait: Option<Duration>) -> Self {
        Self { kind: RefusalKind::RateLimited, retry_after: wait.map(whole_seconds_up) }
    }

    /// The request does not say whom it is to be counted for. No wait mends that.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) const fn no_key() -> Self {
        Self { kind: RefusalKind::NoKey, retry_after: None }
    }

    /// The server does not tell the address by which the request is to be counted.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) const fn no_peer_address() -> Self {
        Self { kind: RefusalKind::NoPeerAddress, retry_after: None }
    }

    /// The token of this request has been revoked: another one is needed, and no wait will do.
    pub const fn revoked() -> Self {
        Self { kind: RefusalKind::Revoked, retry_after: None }
    }

    /// The session is there and not fresh: its user has to authenticate again, no wait will do.
    #[cfg_attr(not(feature = "session"), allow(dead_code))]
    pub(crate) const fn not_fresh() -> Self {
        Self { kind: RefusalKind::NotFresh, retry_after: None }
    }

    /// Why.
    pub const fn kind(self) -> RefusalKind {
        self.kind
    }

    /// When to come back, in whole seconds: rounded up, at least 1. `None`: never.
    pub const fn retry_after(self) -> Option<u64> {
        self.retry_after
    }

    /// The HTTP status: 503, 429, 401, 400 or 500. (A gRPC client gets 200 and its own status.)
    pub const fn status(self) -> StatusCode {
        match self.kind {
            RefusalKind::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            RefusalKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            RefusalKind::NoKey => StatusCode::BAD_REQUEST,
            RefusalKind::NoPeerAddress => StatusCode::INTERNAL_SERVER_ERROR,
            RefusalKind::Revoked | RefusalKind::NotFresh => StatusCode::UNAUTHORIZED,
        }
    }

    /// The sentence that the client reads.
    pub const fn message(self) -> &'static str {
        match (self.kind, self.retry_after) {
            (RefusalKind::Unavailable { .. }, _) => {
                "Redis is currently unavailable. Please retry in a few seconds."
            }
            (RefusalKind::RateLimited, Some(_)) => "Too many requests. Please retry later.",
            (RefusalKind::RateLimited, None) => {
                "This request costs more than is ever admitted at once."
            }
            (RefusalKind::NoKey, _) => "The request does not say who is asking.",
            (RefusalKind::NoPeerAddress, _) => "The server cannot tell who is asking.",
            (RefusalKind::Revoked, _) => "This token has been revoked.",
            (RefusalKind::NotFresh, _) => "Please sign in again.",
        }
    }
}
