//! The two JSON forms. Everything in them is a fixed word or a number, so nothing needs escaping.

use std::fmt::{Display, Write};

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
    let mut body = Object::new();
    body.name(refusal);
    if let RefusalKind::Unavailable { state } = refusal.kind() {
        body.text("status", word(state));
    }
    body.wait(refusal);
    body.end()
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
    let mut body = Object::new();
    body.text("type", kind);
    body.text("title", title);
    body.text("detail", refusal.message());
    body.name(refusal);
    body.raw("status", refusal.status().as_u16());
    body.wait(refusal);
    body.end()
}

/// An object that is being written into one string: thousands a second are when many are refused.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self(String::with_capacity(256))
    }

    fn text(&mut self, name: &str, value: &str) {
        for part in [self.separator(), "\"", name, "\":\"", value, "\""] {
            self.0.push_str(part);
        }
    }

    fn raw(&mut self, name: &str, value: impl Display) {
        for part in [self.separator(), "\"", name, "\":"] {
            self.0.push_str(part);
        }
        // Writing to a string does not fail.
        let _ = write!(self.0, "{value}");
    }

    fn separator(&self) -> &'static str {
        if self.0.is_empty() { "{" } else { "," }
    }

    /// What is wrong.
    fn name(&mut self, refusal: Refusal) {
        self.text(
            "error",
            match refusal.kind() {
                RefusalKind::Unavailable { .. } => "Service Temporarily Unavailable",
                RefusalKind::RateLimited => "Too Many Requests",
                RefusalKind::NoKey => "Bad Request",
                RefusalKind::Revoked => "Unauthorized",
            },
        );
        self.text("message", refusal.message());
    }

    /// When to come back, and why not before.
    fn wait(&mut self, refusal: Refusal) {
        match (refusal.retry_after(), refusal.kind()) {
            (Some(seconds), _) => self.raw("retryAfter", seconds),
            (None, RefusalKind::Revoked) => {}
            (None, _) => self.raw("retryAfter", "null"),
        }
        if let RefusalKind::Unavailable { state } = refusal.kind() {
            let state = word(state);
            self.raw("details", format_args!(r#"{{"connectionState":"{state}","retrying":true}}"#));
        }
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
