//! The two JSON forms. Everything in them is a fixed word or a number, so nothing needs escaping.

use super::{Refusal, RefusalKind};
use crate::health::State;

pub(super) const TYPE: &str = "application/json";
pub(super) const PROBLEM_TYPE: &str = "application/problem+json";
const REDUCED_CAPACITY: &str =
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// One of the four words for a Redis that is not there. Where reads go on and only the writes that
/// a request needs are gone, that request has met a Redis that is not there, too.
const fn word(state: State) -> &'static str {
    match state {
        State::Connected => State::Disconnected.as_str(),
        state => state.as_str(),
    }
}

pub(super) fn plain(refusal: Refusal) -> String {
    let status = match refusal.kind() {
        RefusalKind::Unavailable { state } => format!(r#","status":"{}""#, word(state)),
        RefusalKind::RateLimited | RefusalKind::NoKey | RefusalKind::Revoked => String::new(),
    };
    format!("{{{}}}", members(refusal, &status))
}

/// [RFC 9457] wants a number in `status`, so the state stands in `details` only.
///
/// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457#section-3.1
pub(super) fn problem(refusal: Refusal) -> String {
    let (kind, title) = match refusal.kind() {
        RefusalKind::Unavailable { .. } => (
            REDUCED_CAPACITY,
            "Request cannot be satisfied due to temporary server capacity constraints",
        ),
        RefusalKind::RateLimited => {
            (QUOTA_EXCEEDED, "Request cannot be satisfied as assigned quota has been exceeded")
        }
        // RFC 9457: a problem that says no more than its status.
        RefusalKind::NoKey => ("about:blank", "Bad Request"),
        RefusalKind::Revoked => ("about:blank", "Unauthorized"),
    };
    format!(
        r#"{{"type":"{kind}","title":"{title}","detail":"{}",{}}}"#,
        refusal.message(),
        members(refusal, &format!(r#","status":{}"#, refusal.status().as_u16())),
    )
}

fn members(refusal: Refusal, status: &str) -> String {
    let error = match refusal.kind() {
        RefusalKind::Unavailable { .. } => "Service Temporarily Unavailable",
        RefusalKind::RateLimited => "Too Many Requests",
        RefusalKind::NoKey => "Bad Request",
        RefusalKind::Revoked => "Unauthorized",
    };
    let retry_after = match (refusal.retry_after(), refusal.kind()) {
        (Some(seconds), _) => format!(r#","retryAfter":{seconds}"#),
        (None, RefusalKind::Revoked) => String::new(),
        (None, _) => r#","retryAfter":null"#.to_owned(),
    };
    let details = match refusal.kind() {
        RefusalKind::Unavailable { state } => {
            format!(r#","details":{{"connectionState":"{}","retrying":true}}"#, word(state))
        }
        RefusalKind::RateLimited | RefusalKind::NoKey | RefusalKind::Revoked => String::new(),
    };
    let message = refusal.message();
    format!(r#""error":"{error}","message":"{message}"{status}{retry_after}{details}"#)
}
