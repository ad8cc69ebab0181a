//! The session of one request: loaded when it is first asked for, written at the end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::OnceCell;

use super::{error::SessionError, request_cookies::RequestCookies, settings::Settings};
use crate::{
    Error, ErrorKind,
    respond::Refusal,
    store::session::{ResponseCookies, SessionId, SessionState},
};

pub(super) struct RequestSession {
    pub(super) settings: Arc<Settings>,
    cookies: RequestCookies,
    accept: Option<HeaderValue>,
    content_type: Option<HeaderValue>,
    state: OnceCell<Mutex<SessionState>>,
    /// Logged out by this request.
    is_flushed: AtomicBool,
    /// Held while the session is written: one at a time.
    saving: tokio::sync::Mutex<()>,
}

/// What becomes of the client's cookies.
pub(super) enum Outcome {
    Keep,
    Set(ResponseCookies),
    Remove,
}

impl RequestSession {
    pub(super) fn new(settings: &Arc<Settings>, headers: &HeaderMap) -> Self {
        Self {
            settings: Arc::clone(settings),
            cookies: RequestCookies::new(headers),
            accept: headers.get(ACCEPT).cloned(),
            content_type: headers.get(CONTENT_TYPE).cloned(),
            state: OnceCell::new(),
            is_flushed: AtomicBool::new(false),
            saving: tokio::sync::Mutex::const_new(()),
        }
    }

    /// Redis, or the snapshot, is asked here, once, and only for a client that shows an id.
    pub(super) async fn state(&self) -> Result<MutexGuard<'_, SessionState>, SessionError> {
        let state = self.state.get_or_try_init(|| async {
            let Settings { sessions, cookies } = &*self.settings;
            let state = match self.id() {
                Some(id) => sessions.load(id, self.cookies.get(&cookies.snapshot).into()).await?,
                None => SessionState::none(),
            };
            Ok(Mutex::new(state))
        });
        Ok(state.await.map_err(|error| self.error(error))?.lock())
    }

    pub(super) async fn save(&self) -> Result<(), SessionError> {
        drop(self.state().await?);
        let Some(state) = self.state.get() else { return Ok(()) };
        let _one_at_a_time = self.saving.lock().await;
        // The lock is not held over the await: what is changed meanwhile stays to be written.
        let work = state.lock().clone();
        let saved =
            self.settings.sessions.save(work.clone()).await.map_err(|error| self.error(error))?;
        state.lock().settle(&work, saved);
        Ok(())
    }

    /// Ends the session, whether it was loaded or is only named by a cookie. Where the client shows
    /// several, all of them end: nobody can say which one was meant.
    pub(super) async fn flush(&self) -> Result<(), SessionError> {
        let loaded = self.state.get().and_then(|state| {
            let state = state.lock();
            Some((state.id?, state.ending()))
        });
        let (ids, sealed) = self.shown();
        let ended = self.settings.sessions.end_all(loaded, ids, &sealed).await;
        ended.map_err(|error| self.error(error))?;
        self.is_flushed.store(true, Ordering::Release);
        let state = self.state.get_or_init(|| async { Mutex::new(SessionState::none()) }).await;
        *state.lock() = SessionState::none();
        Ok(())
    }

    /// Every id and every snapshot that the client shows, those with the names of their cookies.
    fn shown(&self) -> (Vec<SessionId>, Vec<(&str, &str)>) {
        let [ids, snapshots] = self.settings.cookies.all_names();
        let ids = ids.into_iter().flat_map(|name| self.cookies.all(name));
        let mut sealed = Vec::new();
        for name in snapshots {
            sealed.extend(self.cookies.all(name).into_iter().map(|value| (name, value)));
        }
        (ids.filter_map(SessionId::parse).collect(), sealed)
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.state.initialized()
    }

    /// There is nothing to write and nothing to tell. Costs no I/O.
    pub(super) fn is_untouched(&self) -> bool {
        let is_idle = || self.state.get().is_none_or(|state| state.lock().is_idle());
        !self.is_flushed.load(Ordering::Acquire) && is_idle()
    }

    /// Writes what is to be written, and says what becomes of the client's cookies.
    pub(super) async fn finish(self: Arc<Self>) -> Result<Outcome, SessionError> {
        self.save().await?;
        let sessions = &self.settings.sessions;
        let cookies = self.state.get().map(|state| sessions.response_cookies(&state.lock()));
        let cookies = cookies.unwrap_or_default();
        Ok(if cookies.id.is_some() || cookies.snapshot.is_some() {
            Outcome::Set(cookies)
        } else if self.is_flushed.load(Ordering::Acquire) && self.has_cookies() {
            Outcome::Remove
        } else {
            Outcome::Keep
        })
    }

    fn has_cookies(&self) -> bool {
        let cookies = &self.settings.cookies;
        self.cookies.has(&cookies.id) || self.cookies.has(&cookies.snapshot)
    }

    /// The id that the client shows.
    fn id(&self) -> Option<SessionId> {
        SessionId::parse(self.cookies.get(&self.settings.cookies.id)?)
    }

    fn error(&self, error: Error) -> SessionError {
        self.refused(error, Refusal::unavailable(self.settings.sessions.monitor()))
    }

    fn refused(&self, error: Error, refusal: Refusal) -> SessionError {
        let mut form = HeaderMap::new();
        for (name, value) in [(ACCEPT, &self.accept), (CONTENT_TYPE, &self.content_type)] {
            if let Some(value) = value {
                form.insert(name, value.clone());
            }
        }
        SessionError::refused(error, refusal, form)
    }

    /// The session was put back from a copy.
    pub(super) fn not_fresh(&self) -> SessionError {
        let error = Error::new(ErrorKind::Invalid, "the session's user has to authenticate again");
        self.refused(error, Refusal::not_fresh())
    }

    /// Only Redis could say, and it cannot be asked.
    pub(super) fn unavailable(&self) -> SessionError {
        self.error(self.settings.sessions.unavailable())
    }
}
