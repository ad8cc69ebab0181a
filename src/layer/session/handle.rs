//! The session as handlers hold it.

use std::{fmt, sync::Arc};

use http::HeaderMap;
use serde::{Serialize, de::DeserializeOwned};

use super::{error::SessionError, request_session::RequestSession, settings::Settings};
use crate::store::session::{Expiry, Known, Origin, SessionId};

/// The session of the request that is being served. Cheap to clone; clones are one session.
///
/// [`SessionLayer`](super::SessionLayer) puts it into the request's extensions; with the `axum`
/// feature it is an extractor. It is lazy: Redis is asked when a method is first called, once, and
/// only for a client that shows an id. What was changed is written when the handler has answered,
/// or by [`save`](Self::save).
///
/// Values are of any type that serde can write as JSON. A session begins with the first
/// [`insert`](Self::insert) or [`set_subject`](Self::set_subject); an id that the client has made
/// up is never taken for one.
///
/// # Two requests at once
///
/// Every change is a compare-and-set of each key: when two requests of one session change the same
/// key, the first to be written wins, and the other's change of that key is dropped (and counted as
/// a `conflict`).
///
/// # When Redis is down
///
/// A client that carries a valid snapshot goes on: [`is_stateless`](Self::is_stateless). Keys that
/// were [declared](super::SessionLayer::with_stateless_keys) are read from it and changed in it.
/// Only Redis knows the others, so they are an error with
/// [`is_unavailable`](SessionError::is_unavailable), never an absent value. Without a snapshot
/// everything is that error: 503, and the client keeps its cookies.
///
/// ```no_run
/// use evenkeel::layer::{Session, SessionError};
///
/// async fn visits(session: Session) -> Result<String, SessionError> {
///     let visits: u32 = session.get("visits").await?.unwrap_or(0);
///     session.insert("visits", visits + 1).await?;
///     Ok(format!("{} visits", visits + 1))
/// }
/// ```
#[derive(Clone)]
pub struct Session(pub(super) Arc<RequestSession>);

impl Session {
    pub(super) fn new(settings: &Arc<Settings>, headers: &HeaderMap) -> Self {
        Self(Arc::new(RequestSession::new(settings, headers)))
    }

    /// The value of `key`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// It cannot be known now, or is not of type `T`.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        let state = self.0.state().await?;
        match state.get(key, &self.0.settings.sessions.rules) {
            Known::Value(json) => {
                serde_json::from_str(json).map(Some).map_err(|_| SessionError::wrong_type::<T>(key))
            }
            Known::Nothing => Ok(None),
            Known::Unknown => Err(self.0.unavailable()),
        }
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    ///
    /// It cannot be known now.
    pub async fn contains(&self, key: &str) -> Result<bool, SessionError> {
        match self.0.state().await?.get(key, &self.0.settings.sessions.rules) {
            Known::Value(_) => Ok(true),
            Known::Nothing => Ok(false),
            Known::Unknown => Err(self.0.unavailable()),
        }
    }

    /// Gives `key` this value. It is written when the handler has answered.
    ///
    /// # Errors
    ///
    /// It cannot be written now, or `value` cannot be written as JSON.
    pub async fn insert<T: Serialize>(&self, key: &str, value: T) -> Result<(), SessionError> {
        let json = serde_json::to_string(&value).map_err(|_| SessionError::not_json::<T>(key))?;
        self.set(key, Some(json)).await
    }

    /// Takes `key` and its value away.
    ///
    /// # Errors
    ///
    /// It cannot be written now.
    pub async fn remove(&self, key: &str) -> Result<(), SessionError> {
        if !self.0.state().await?.exists() {
            return Ok(());
        }
        self.set(key, None).await
    }

    async fn set(&self, key: &str, json: Option<String>) -> Result<(), SessionError> {
        let mut state = self.0.state().await?;
        let rules = &self.0.settings.sessions.rules;
        let without_redis = match state.origin {
            Origin::None => !self.0.settings.sessions.monitor().can_write(),
            Origin::Redis(_) => false,
            Origin::Snapshot(_) => true,
        };
        if without_redis && !rules.declared.contains(key) {
            return Err(self.0.unavailable());
        }
        state.set(key, json);
        Ok(())
    }

    /// Whose session this is, as [`set_subject`](Self::set_subject) said.
    ///
    /// # Errors
    ///
    /// It cannot be known now.
    pub async fn subject(&self) -> Result<Option<String>, SessionError> {
        Ok(self.0.state().await?.subject.clone())
    }

    /// Says whose session this is: the user who has just logged in.
    ///
    /// The session gets a new id and a new lifetime, unless it is that user's already. It keeps the
    /// values of a visitor who was nobody yet, a basket say; the values of *another* user go, also
    /// those that this request has set before
    /// ([`set_subject_keeping_values`](Self::set_subject_keeping_values) keeps them). A subject
    /// travels in the snapshot and is what [`SessionStore::list`] and [`SessionStore::revoke_all`]
    /// go by.
    ///
    /// [`SessionStore::list`]: crate::store::session::SessionStore::list
    /// [`SessionStore::revoke_all`]: crate::store::session::SessionStore::revoke_all
    ///
    /// # Errors
    ///
    /// It cannot be known now whose session it is.
    pub async fn set_subject(&self, subject: impl Into<String>) -> Result<(), SessionError> {
        self.0.state().await?.set_subject(subject.into(), false);
        Ok(())
    }

    /// The same, and the values of another user stay: for one who takes on another name. Whatever a
    /// handler has noted about the user before (a role, say) is the new one's then.
    ///
    /// # Errors
    ///
    /// As [`set_subject`](Self::set_subject).
    pub async fn set_subject_keeping_values(
        &self,
        subject: impl Into<String>,
    ) -> Result<(), SessionError> {
        self.0.state().await?.set_subject(subject.into(), true);
        Ok(())
    }

    /// Says that this session's user has just authenticated again: a new id and a new lifetime, and
    /// the session is [fresh](Self::is_fresh). Its subject and its values stay.
    ///
    /// # Errors
    ///
    /// It cannot be known now whether there is a session. While Redis is away, as
    /// [`cycle_id`](Self::cycle_id).
    pub async fn renew(&self) -> Result<(), SessionError> {
        self.0.state().await?.renew();
        Ok(())
    }

    /// Gives the session a new id, at a change of privileges say; the old one dies. Its absolute
    /// lifetime goes on. It does not make a session [fresh](Self::is_fresh);
    /// [`renew`](Self::renew) does.
    ///
    /// # Errors
    ///
    /// It cannot be known now whether there is a session. While Redis is away a session that the
    /// client does not carry as a whole keeps its id, which [`save`](Self::save), or the response,
    /// says with 503.
    pub async fn cycle_id(&self) -> Result<(), SessionError> {
        self.0.state().await?.cycle_id();
        Ok(())
    }

    /// Gives this session another lifetime than the layer's.
    ///
    /// # Errors
    ///
    /// It cannot be known now whether there is a session.
    pub async fn set_expiry(&self, expiry: Expiry) -> Result<(), SessionError> {
        self.0.state().await?.set_expiry(expiry);
        Ok(())
    }

    /// Ends the session for good: its record, its id, and both cookies. Whatever is inserted
    /// afterwards begins another one.
    ///
    /// # Errors
    ///
    /// Redis is away, the client carries no snapshot, and ten thousand such are noted here already.
    ///
    /// # When Redis is down
    ///
    /// The session is refused on this instance from now on, and its record is deleted before Redis
    /// is announced as available again.
    pub async fn flush(&self) -> Result<(), SessionError> {
        self.0.flush().await
    }

    /// Whether Redis does not hold all of it: the client carries the session.
    ///
    /// # Errors
    ///
    /// It cannot be known now whether there is a session.
    pub async fn is_stateless(&self) -> Result<bool, SessionError> {
        Ok(self.0.state().await?.is_stateless())
    }

    /// Whether Redis vouches for it, and its user has authenticated since it was last put back from
    /// a copy: what a [`FreshSession`](super::FreshSession) is. `true` where there is no session.
    ///
    /// # Errors
    ///
    /// It cannot be known now whether there is a session.
    pub async fn is_fresh(&self) -> Result<bool, SessionError> {
        let state = self.0.state().await?;
        Ok(!state.is_stateless() && !state.is_restored())
    }

    /// Whether there is a session. Anonymous clients have none, and Redis is not asked about them.
    ///
    /// # Errors
    ///
    /// It cannot be known now.
    pub async fn exists(&self) -> Result<bool, SessionError> {
        Ok(self.0.state().await?.exists())
    }

    /// The id; `None` when there is no session, or it is not saved yet.
    ///
    /// # Errors
    ///
    /// It cannot be known now.
    pub async fn id(&self) -> Result<Option<SessionId>, SessionError> {
        Ok(self.0.state().await?.id)
    }

    /// Writes what was changed so far, instead of when the handler has answered: for a handler
    /// whose answer says what became of it.
    ///
    /// # Errors
    ///
    /// It cannot be written now, and the client cannot carry it. Nothing is written, then.
    pub async fn save(&self) -> Result<(), SessionError> {
        self.0.save().await
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("is_loaded", &self.0.is_loaded()).finish_non_exhaustive()
    }
}
