//! The layer that gives requests their session, and its settings.

use std::{fmt, sync::Arc, time::Duration};

use tower::Layer;

use super::{service::SessionService, set_cookie::CookieNames, settings::Settings};
use crate::{
    redis::Redis,
    store::session::{Declared, Expiry, Rules, SessionKeys, SessionStore, Sessions},
};

/// Gives each request its [`Session`](super::Session): in Redis, and carried by the client when
/// Redis is away.
///
/// Two cookies, both `__Host-`, `Secure`, `HttpOnly`, `SameSite=Lax`, `Path=/`: `__Host-sid` is the
/// id, which Redis knows; `__Host-sd` is a sealed copy of what was
/// [declared](Self::with_stateless_keys) fit for an outage, issued while Redis is there and worth
/// nothing until it is not. See the guide `docs/sessions.md` for what that can and cannot promise.
///
#[cfg_attr(feature = "axum", doc = "```no_run")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use evenkeel::{layer::{Session, SessionError, SessionLayer}, redis::Redis,
/// store::session::SessionKeys}; use axum::{Router, routing::get};
///
/// async fn me(session: Session) -> Result<String, SessionError> {
///     Ok(session.subject().await?.unwrap_or_else(|| "a stranger".to_owned()))
/// }
///
/// # fn demo() -> Result<Router, evenkeel::Error> {
/// let redis = Redis::from_env()?; let sessions = SessionLayer::new(&redis,
/// SessionKeys::from_env()?).with_stateless_keys(["visits"]); Ok(Router::new().route("/me",
/// get(me)).layer(sessions))
/// # }
/// ```
///
/// # When Redis is down
///
/// Requests go on, each waits at most once for Redis, and a session that cannot be judged is the
/// handler's to refuse ([`SessionError`](super::SessionError)). What was changed and can neither be
/// written nor carried makes the response a 503 in place of the handler's: nothing is lost without
/// a word.
#[derive(Clone)]
pub struct SessionLayer {
    store: SessionStore,
    rules: Rules,
    cookies: CookieNames,
}

impl SessionLayer {
    /// Sessions in this Redis, their snapshots sealed with these keys.
    pub fn new(redis: &Redis, keys: SessionKeys) -> Self {
        Self::from_store(&SessionStore::new(redis, keys))
    }

    /// Sessions of this store: one that has other settings than the defaults, or that several
    /// layers share.
    pub fn from_store(store: &SessionStore) -> Self {
        let cookies = CookieNames::SECURE;
        Self { store: store.clone(), rules: Rules::new(cookies.snapshot), cookies }
    }

    /// How long sessions live. Default: a day unused, a week in all.
    #[must_use]
    pub fn with_expiry(mut self, expiry: Expiry) -> Self {
        self.rules.expiry = expiry;
        self
    }

    /// The keys whose values may travel in the snapshot, the most important first. Default: none;
    /// the subject always does.
    ///
    /// Declare what handlers need in an outage and what may be some minutes old then: a name, a
    /// language, a basket. Do not declare what must not be taken back to an earlier state (a
    /// balance), or what must not leave the house: the snapshot is encrypted, but it is the client
    /// that keeps it. When they do not find room in a cookie, the last are left out first.
    #[must_use]
    pub fn with_stateless_keys<K: Into<String>>(
        mut self,
        keys: impl IntoIterator<Item = K>,
    ) -> Self {
        self.rules.declared = Declared::new(keys.into_iter().map(Into::into).collect());
        self
    }

    /// For how long a snapshot is believed without Redis, counted from when Redis last verified it.
    /// Default: an hour.
    #[must_use]
    pub fn with_max_offline_age(mut self, age: Duration) -> Self {
        self.rules.max_offline_age = age;
        self
    }

    /// How old a snapshot may be when its session is used before a new one is issued. Default: 5
    /// minutes. Shorter than [`with_max_offline_age`](Self::with_max_offline_age), or an outage
    /// finds it too old.
    #[must_use]
    pub fn with_snapshot_refresh(mut self, age: Duration) -> Self {
        self.rules.refresh = age;
        self
    }

    /// Cookies named `sid` and `sd`, without `Secure`. For development with a client that keeps no
    /// `Secure` cookies over plain HTTP: browsers and curl take them from `localhost` and
    /// `127.0.0.1` all the same. Whoever listens on the wire has the session then, and a sibling
    /// domain may plant one. Default: `__Host-sid` and `__Host-sd`, `Secure`.
    #[must_use]
    pub fn with_insecure_cookies(mut self) -> Self {
        self.cookies = CookieNames::PLAIN;
        self.rules.cookie = CookieNames::PLAIN.snapshot;
        self
    }

    /// The store: to list and to end sessions.
    pub fn store(&self) -> &SessionStore {
        &self.store
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let sessions = Sessions::new(&self.store, self.rules.clone());
        SessionService::new(inner, Arc::new(Settings { sessions, cookies: self.cookies }))
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer")
            .field("store", &self.store)
            .field("rules", &self.rules)
            .field("cookies", &self.cookies)
            .finish()
    }
}
