//! The two JSON forms of a refusal: the plain one, and RFC 9457's problem details.

use serde::Serialize;

use super::{Refusal, RefusalKind};
use crate::health::State;

pub(super) const TYPE: &str = "application/json";
pub(super) const PROBLEM_TYPE: &str = "application/problem+json";
const REDUCED_CAPACITY: &str =
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// Both forms: the fields stand in the order in which they are written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(flatten)]
    problem: Option<Problem>,
    error: &'static str,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    /// `Some(None)` is written as `null`: no wait will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Serialize)]
struct Problem {
    r#type: &'static str,
    title: &'static str,
    detail: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Status {
    State(&'static str),
    /// [RFC 9457] wants a number, so the state stands in `details` only.
    ///
    /// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457#section-3.1
    Code(u16),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    connection_state: &'static str,
    retrying: bool,
}

impl Body {
    fn new(refusal: Refusal) -> Self {
        let state = state(refusal);
        Self {
            problem: None,
            error: error(refusal),
            message: refusal.message(),
            status: state.map(Status::State),
            retry_after: match refusal.kind() {
                // Another token or login is needed: when to come back is no question.
                RefusalKind::Revoked | RefusalKind::NotFresh => None,
                _ => Some(refusal.retry_after()),
            },
            details: state.map(|connection_state| Details { connection_state, retrying: true }),
        }
    }

    fn write(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(512);
        // Of words and numbers there is nothing that cannot be written, and a vector takes all.
        let _ = serde_json::to_writer(&mut body, self);
        body
    }
}

pub(super) fn plain(refusal: Refusal) -> Vec<u8> {
    Body::new(refusal).write()
}

pub(super) fn problem(refusal: Refusal) -> Vec<u8> {
    let (r#type, title) = match refusal.kind() {
        RefusalKind::Unavailable { .. } => (
            REDUCED_CAPACITY,
            "Request cannot be satisfied due to temporary server capacity constraints",
        ),
        RefusalKind::RateLimited => {
            (QUOTA_EXCEEDED, "Request cannot be satisfied as assigned quota has been exceeded")
        }
        // RFC 9457: a problem that says no more than its status.
        RefusalKind::NoKey
        | RefusalKind::NoPeerAddress
        | RefusalKind::Revoked
        | RefusalKind::NotFresh => ("about:blank", error(refusal)),
    };
    let body = Body {
        problem: Some(Problem { r#type, title, detail: refusal.message() }),
        status: Some(Status::Code(refusal.status().as_u16())),
        ..Body::new(refusal)
    };
    body.write()
}

/// What is wrong.
fn error(refusal: Refusal) -> &'static str {
    match refusal.kind() {
        RefusalKind::Unavailable { .. } => "Service Temporarily Unavailable",
        _ => refusal.status().canonical_reason().unwrap_or_default(),
    }
}

/// One of the four words for a Redis that is not there. Where reads go on and only the writes that
/// a request needs are gone, that request has met a Redis that is not there, too.
fn state(refusal: Refusal) -> Option<&'static str> {
    match refusal.kind() {
        RefusalKind::Unavailable { state: State::Connected } => Some(State::Disconnected.as_str()),
        RefusalKind::Unavailable { state } => Some(state.as_str()),
        _ => None,
    }
}
