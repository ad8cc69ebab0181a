//! A session that Redis vouches for, for what must not run on a snapshot.

use std::ops::Deref;

use super::{error::SessionError, handle::Session};

/// A [`Session`] that Redis vouches for at this moment and that its user has logged in to, or none
/// at all: for a change of password, a payment, whatever must not run on what the client carries.
///
/// A session that was put back from the client's copy after Redis had lost it is not fresh: whoever
/// had copied it may have shown it, and a logout may have been lost with the rest. It is fresh when
/// its user has authenticated again: [`Session::set_subject`] or [`Session::renew`]. The same holds
/// for one that began while Redis was away.
///
/// With the `axum` feature it is an extractor, which answers 503 when Redis is away, and 401 when
/// the user has to authenticate again.
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
    /// Redis is away, and the session stateless or not to be judged; or
    /// [its user has to authenticate again](SessionError::needs_authentication).
    pub async fn of(session: Session) -> Result<Self, SessionError> {
        if session.is_stateless().await? {
            return Err(session.0.unavailable());
        }
        if !session.is_fresh().await? {
            return Err(session.0.not_fresh());
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
