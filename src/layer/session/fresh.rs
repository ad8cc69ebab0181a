//! A session that Redis vouches for, for what must not run on a snapshot.

use std::ops::Deref;

use super::{error::SessionError, handle::Session};

/// A [`Session`] that Redis vouches for at this moment, or none at all: for a change of password, a
/// payment, whatever must not run on what the client carries.
///
/// With the `axum` feature it is an extractor, which answers 503 in every other case.
///
/// ```no_run
/// use evenkeel::layer::{FreshSession, SessionError};
///
/// async fn change_password(session: FreshSession) -> Result<&'static str, SessionError> {
///     let subject = session.subject().await?;
///     // …
///     session.cycle_id().await?;
///     Ok("changed")
/// }
/// ```
///
/// # When Redis is down
///
/// There is none: 503.
#[derive(Debug, Clone)]
pub struct FreshSession(Session);

impl FreshSession {
    /// The session, if Redis vouches for it.
    ///
    /// # Errors
    ///
    /// Redis is away, and the session stateless or not to be judged.
    pub async fn of(session: Session) -> Result<Self, SessionError> {
        if session.is_stateless().await? {
            return Err(session.0.unavailable());
        }
        Ok(Self(session))
    }

    /// The session.
    pub fn into_inner(self) -> Session {
        self.0
    }
}

impl Deref for FreshSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}
