//! The error of a session that cannot be judged, read or written, and its response.

use std::{any::type_name, fmt};

use http::{HeaderMap, Response, StatusCode};

use crate::{
    Error, ErrorKind,
    respond::{Refusal, RefusalKind},
};

/// So much of a key is shown.
const SHOWN: usize = 64;

/// A session cannot be judged, read or written now; or a value is not of the type asked for: then
/// the message names its key and that type, never the value.
///
/// With the `axum` feature it is a response: 503 with `Retry-After` in the first case (see
/// [`respond`](crate::respond)), 500 in the second, which is a mistake in the program; and 401
/// where a [`FreshSession`](super::FreshSession) is asked for and the user has to authenticate
/// again. The client's cookies stay as they are.
#[derive(Clone)]
pub struct SessionError {
    error: Error,
    refusal: Option<Refusal>,
    /// What the request says about the form of a refusal.
    form: HeaderMap,
}

impl SessionError {
    pub(super) fn refused(error: Error, refusal: Refusal, form: HeaderMap) -> Self {
        Self { error, refusal: Some(refusal), form }
    }

    /// The value of `key` is no `T`. What serde says of it may show the value, so it is left out.
    pub(super) fn wrong_type<T: ?Sized>(key: &str) -> Self {
        Self::value::<T>(key, "is not of the type that was asked for")
    }

    /// A `T` that was to be the value of `key` cannot be written as JSON.
    pub(super) fn not_json<T: ?Sized>(key: &str) -> Self {
        Self::value::<T>(key, "cannot be written as JSON; its type")
    }

    fn value<T: ?Sized>(key: &str, what: &str) -> Self {
        let shown: String = key.chars().take(SHOWN).collect();
        let more = if shown.len() < key.len() { "…" } else { "" };
        let message =
            format!("the session's value of {shown:?}{more} {what}: {}", type_name::<T>());
        let error = Error::new(ErrorKind::Invalid, message);
        Self { error, refusal: None, form: HeaderMap::new() }
    }

    /// Only Redis could say, and it cannot be asked.
    pub fn is_unavailable(&self) -> bool {
        let kind = self.refusal.map(Refusal::kind);
        matches!(kind, Some(RefusalKind::Unavailable { .. }))
    }

    /// The session was put back after Redis had lost it, and its user has not authenticated since:
    /// see [`FreshSession`](super::FreshSession).
    pub fn needs_authentication(&self) -> bool {
        self.refusal.map(Refusal::kind) == Some(RefusalKind::NotFresh)
    }

    /// When to come back, and what to tell the client. `None`: a value is not of the type asked
    /// for.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// The response: in the form that the request asked for.
    pub fn response<B: From<bytes::Bytes>>(&self) -> Response<B> {
        match self.refusal {
            Some(refusal) => refusal.response(&self.form),
            None => {
                let mut response = Response::new(
                    bytes::Bytes::from_static(b"a session's value cannot be read").into(),
                );
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<SessionError> for Error {
    fn from(error: SessionError) -> Self {
        error.error
    }
}
