//! What handlers hold.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::OnceCell;

use super::{
    SessionError,
    cookie::{Cookies, Shown},
};
use crate::{
    Error,
    respond::Refusal,
    store::session::{Expiry, Known, Origin, ResponseCookies, SessionId, SessionState, Sessions},
};

/// What the requests of one layer share.
pub(super) struct Shared {
    pub(super) sessions: Sessions,
    pub(super) cookies: Cookies,
}

/// The session of the request that is being served. Cheap to clone; clones are one session.
///
/// [`SessionLayer`](super::SessionLayer) puts it into the request's extensions; with the `axum` feature it is an extractor. It is
/// lazy: Redis is asked when a method is first called, once, and only for a client that shows an id. What was changed is
/// written when the handler has answered, or by [`save`](Self::save).
///
/// Values are of any type that serde can write as JSON. A session begins with the first [`insert`](Self::insert) or
/// [`set_subject`](Self::set_subject); an id that the client has made up is never taken for one.
///
/// # Two requests at once
///
/// Every change is a compare-and-set of each key: when two requests of one session change the same key, the one that
/// is written first has it, and the other's change of that key is dropped (and counted as a `conflict`).
///
/// # When Redis is down
///
/// A client that carries a valid snapshot goes on: [`is_stateless`](Self::is_stateless). Keys that were
/// [declared](super::SessionLayer::with_stateless_keys) are read from it and changed in it; of others only Redis could say, so they
/// are an error with [`is_unavailable`](SessionError::is_unavailable), never an absent value. Without a snapshot
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
pub struct Session(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    shown: Shown,
    accept: Option<HeaderValue>,
    content_type: Option<HeaderValue>,
    held: OnceCell<Mutex<SessionState>>,
    /// Logged out by this request.
    is_flushed: AtomicBool,
    /// One at a time.
    saving: tokio::sync::Mutex<()>,
}

/// What the client is to be told.
pub(super) enum Told {
    Nothing,
    Given(ResponseCookies),
    LoggedOut,
}

impl Session {
    pub(super) fn of(shared: &Arc<Shared>, headers: &HeaderMap) -> Self {
        Self(Arc::new(Inner {
            shared: Arc::clone(shared),
            shown: Shown::of(headers),
            accept: headers.get(ACCEPT).cloned(),
            content_type: headers.get(CONTENT_TYPE).cloned(),
            held: OnceCell::new(),
            is_flushed: AtomicBool::new(false),
            saving: tokio::sync::Mutex::const_new(()),
        }))
    }

    /// The value of `key`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// It cannot be known now, or is not of type `T`.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        let held = self.held().await?;
        match held.get(key, &self.0.shared.sessions.rules) {
            Known::Value(json) => serde_json::from_str(json).map(Some).map_err(SessionError::value),
            Known::Nothing => Ok(None),
            Known::Unknown => Err(self.cannot_say()),
        }
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    ///
    /// It cannot be known now.
    pub async fn contains(&self, key: &str) -> Result<bool, SessionError> {
        match self.held().await?.get(key, &self.0.shared.sessions.rules) {
            Known::Value(_) => Ok(true),
            Known::Nothing => Ok(false),
            Known::Unknown => Err(self.cannot_say()),
        }
    }

    /// Gives `key` this value. Written when the handler has answered.
    ///
    /// # Errors
    ///
    /// It cannot be written now, or `value` cannot be written as JSON.
    pub async fn insert(&self, key: &str, value: impl Serialize) -> Result<(), SessionError> {
        let json = serde_json::to_string(&value).map_err(SessionError::value)?;
        self.set(key, Some(json)).await
    }

    /// Takes `key` and its value away.
    ///
    /// # Errors
    ///
    /// It cannot be written now.
    pub async fn remove(&self, key: &str) -> Result<(), SessionError> {
        if !self.held().await?.exists() {
            return Ok(());
        }
        self.set(key, None).await
    }

    async fn set(&self, key: &str, json: Option<String>) -> Result<(), SessionError> {
        let mut held = self.held().await?;
        let rules = &self.0.shared.sessions.rules;
        let without_redis = match held.origin {
            Origin::None => !self.0.shared.sessions.monitor().can_write(),
            Origin::Redis(_) => false,
            Origin::Snapshot(_) => true,
        };
        if without_redis && !rules.declared.contains(key) {
            return Err(self.cannot_say());
        }
        held.set(key, json);
        Ok(())
    }

    /// Whose session this is, as [`set_subject`](Self::set_subject) said.
    ///
    /// # Errors
    ///
    /// It cannot be known now.
    pub async fn subject(&self) -> Result<Option<String>, SessionError> {
        Ok(self.held().await?.subject.clone())
    }

    /// Says whose session this is: the user who has just logged in. The session gets a new id, a new lifetime and keeps its
    /// values, unless it is that user's already. A subject travels in the snapshot and is what
    /// [`SessionStore::list`](crate::store::session::SessionStore::list) and
    /// [`SessionStore::revoke_all`](crate::store::session::SessionStore::revoke_all) go by.
    ///
    /// # Errors
    ///
    /// It cannot be known now whose session it is.
    pub async fn set_subject(&self, subject: impl Into<String>) -> Result<(), SessionError> {
        self.held().await?.set_subject(subject.into());
        Ok(())
    }

    /// Gives the session a new id, at a change of privileges say; the old one dies. Its absolute lifetime goes on.
    ///
    /// # Errors
    ///
    /// It cannot be known now whether there is a session. While Redis is away a session that the client does not carry as a whole
    /// keeps its id, which [`save`](Self::save), or the response, says with 503.
    pub async fn cycle_id(&self) -> Result<(), SessionError> {
        self.held().await?.cycle_id();
        Ok(())
    }

    /// Gives this session another lifetime than the layer's.
    ///
    /// # Errors
    ///
    /// It cannot be known now whether there is a session.
    pub async fn set_expiry(&self, expiry: Expiry) -> Result<(), SessionError> {
        self.held().await?.set_expiry(expiry);
        Ok(())
    }

    /// Ends the session for good: its record, its id, and both cookies. Whatever is inserted afterwards begins another one.
    ///
    /// # Errors
    ///
    /// Redis is away, the client carries no snapshot, and ten thousand such are noted here already.
    ///
    /// # When Redis is down
    ///
    /// The session is refused on this instance from now on, and its record is deleted before Redis is announced as available again.
    pub async fn flush(&self) -> Result<(), SessionError> {
        let Shared { sessions, cookies } = &*self.0.shared;
        let known = self.0.held.get().map(|held| {
            let held = held.lock().unwrap_or_else(PoisonError::into_inner);
            (held.id, held.times().map(|times| times.ends))
        });
        let shown = self.shown_id();
        if let Some((Some(id), ends)) = known {
            sessions.end(id, None.into(), ends).await.map_err(|error| self.error(error))?;
        } else if let Some(id) = shown {
            let sealed = self.0.shown.get(cookies.snapshot).into();
            sessions.end(id, sealed, None).await.map_err(|error| self.error(error))?;
        }
        self.0.is_flushed.store(true, Ordering::Release);
        let nothing = self.0.held.get_or_init(|| async { Mutex::new(SessionState::none()) }).await;
        *nothing.lock().unwrap_or_else(PoisonError::into_inner) = SessionState::none();
        Ok(())
    }

    /// Whether Redis does not hold all of it: the client carries the session.
    ///
    /// # Errors
    ///
    /// It cannot be known now whether there is a session.
    pub async fn is_stateless(&self) -> Result<bool, SessionError> {
        Ok(self.held().await?.is_stateless())
    }

    /// Whether there is a session. Anonymous clients have none, and Redis is not asked about them.
    ///
    /// # Errors
    ///
    /// It cannot be known now.
    pub async fn exists(&self) -> Result<bool, SessionError> {
        Ok(self.held().await?.exists())
    }

    /// The id; `None` when there is no session, or it is not saved yet.
    ///
    /// # Errors
    ///
    /// It cannot be known now.
    pub async fn id(&self) -> Result<Option<SessionId>, SessionError> {
        Ok(self.held().await?.id)
    }

    /// Writes what was changed so far, instead of when the handler has answered: for a handler whose answer says what became
    /// of it.
    ///
    /// # Errors
    ///
    /// It cannot be written now, and the client cannot carry it. Nothing is written, then.
    pub async fn save(&self) -> Result<(), SessionError> {
        drop(self.held().await?);
        let Some(held) = self.0.held.get() else { return Ok(()) };
        let lock = || held.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = &self.0.shared.sessions;
        let _one_at_a_time = self.0.saving.lock().await;
        let work = lock().clone();
        let saved = sessions.save(work.clone()).await.map_err(|error| self.error(error))?;
        lock().settle(&work, saved);
        Ok(())
    }

    /// There is nothing to write and nothing to tell. Costs no I/O.
    pub(super) fn is_untouched(&self) -> bool {
        if self.0.is_flushed.load(Ordering::Acquire) {
            return false;
        }
        let Some(held) = self.0.held.get() else { return true };
        held.lock().unwrap_or_else(PoisonError::into_inner).is_idle()
    }

    /// Writes what is to be written, and says what the client is to be told.
    pub(super) async fn finish(self) -> Result<Told, SessionError> {
        self.save().await?;
        let given = match self.0.held.get() {
            Some(held) => {
                let held = held.lock().unwrap_or_else(PoisonError::into_inner);
                self.0.shared.sessions.response_cookies(&held)
            }
            None => ResponseCookies::default(),
        };
        let is_given = given.id.is_some() || given.snapshot.is_some();
        Ok(match self.0.is_flushed.load(Ordering::Acquire) {
            _ if is_given => Told::Given(given),
            true if self.has_cookies() => Told::LoggedOut,
            _ => Told::Nothing,
        })
    }

    fn has_cookies(&self) -> bool {
        let cookies = self.0.shared.cookies;
        self.0.shown.has(cookies.id) || self.0.shown.has(cookies.snapshot)
    }

    pub(super) fn cookies(&self) -> Cookies {
        self.0.shared.cookies
    }

    fn shown_id(&self) -> Option<SessionId> {
        SessionId::parse(self.0.shown.get(self.0.shared.cookies.id)?)
    }

    /// Loads it, once.
    async fn held(&self) -> Result<MutexGuard<'_, SessionState>, SessionError> {
        let held = self.0.held.get_or_try_init(|| async {
            let Shared { sessions, cookies } = &*self.0.shared;
            let held = match self.shown_id() {
                Some(id) => sessions.load(id, self.0.shown.get(cookies.snapshot).into()).await?,
                None => SessionState::none(),
            };
            Ok(Mutex::new(held))
        });
        let held = held.await.map_err(|error| self.error(error))?;
        Ok(held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn error(&self, error: Error) -> SessionError {
        let mut form = HeaderMap::new();
        for (name, value) in [(ACCEPT, &self.0.accept), (CONTENT_TYPE, &self.0.content_type)] {
            if let Some(value) = value {
                form.insert(name, value.clone());
            }
        }
        let refusal = Refusal::unavailable(self.0.shared.sessions.monitor());
        SessionError::unavailable(error, refusal, form)
    }

    pub(super) fn cannot_say(&self) -> SessionError {
        self.error(self.0.shared.sessions.unavailable())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("is_loaded", &self.0.held.initialized())
            .finish_non_exhaustive()
    }
}
