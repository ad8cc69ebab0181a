//! The extractors for axum, and what they answer when there is no session to be had.

use std::convert::Infallible;

use axum_core::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use super::{error::SessionError, fresh::FreshSession, handle::Session};

/// The route asks for a [`Session`] and has no [`SessionLayer`](super::SessionLayer) round it.
///
/// A mistake in the program, whatever Redis does: it answers 500 from the first request on.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no SessionLayer round this route: there are no sessions")]
pub struct SessionMissing;

impl IntoResponse for SessionMissing {
    fn into_response(self) -> Response {
        tracing::error!("{self}");
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        if self.refusal().is_none() {
            tracing::error!("{self}");
        }
        self.response::<Body>()
    }
}

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = SessionMissing;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionMissing> {
        parts.extensions.get().cloned().ok_or(SessionMissing)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

impl<S: Sync> FromRequestParts<S> for FreshSession {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let session = <Session as FromRequestParts<S>>::from_request_parts(parts, state).await;
        let session = session.map_err(IntoResponse::into_response)?;
        Self::of(session).await.map_err(IntoResponse::into_response)
    }
}
