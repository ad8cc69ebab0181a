//! The layer that gives requests their session, and its settings.

use std::{fmt, sync::Arc, time::Duration};

use tower::Layer;

use super::{
    cookie_settings::{CookieSettings, SameSite},
    service::SessionService,
    settings::Settings,
};
use crate::{
    Error,
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
    cookies: CookieSettings,
}

impl SessionLayer {
    /// Sessions in this Redis, their snapshots sealed with these keys.
    pub fn new(redis: &Redis, keys: SessionKeys) -> Self {
        Self::from_store(&SessionStore::new(redis, keys))
    }

    /// Sessions of this store: one that has other settings than the defaults, or that several
    /// layers share.
    pub fn from_store(store: &SessionStore) -> Self {
        let cookies = CookieSettings::default();
        let rules = Rules::new(Arc::clone(&cookies.snapshot));
        Self { store: store.clone(), rules, cookies }
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

    /// The names of the two cookies: the id and the snapshot. Default: `__Host-sid` and `__Host-sd`,
    /// or with the prefix that the other settings allow.
    ///
    /// A name without `__Host-` takes away what browsers promise for it: that no sibling domain, and
    /// nobody on the wire, has planted the cookie. Clients that hold cookies of other names begin a
    /// new session.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for what cannot be the name of a cookie, and
    /// for a prefix that the other settings do not allow: browsers would drop the cookie without a
    /// word.
    pub fn with_cookie_names(self, id: &str, snapshot: &str) -> Result<Self, Error> {
        let cookies = self.cookies.clone().with_names(id, snapshot)?;
        Ok(self.with_cookies(cookies))
    }

    /// From which sites requests bring the cookies. Default: [`SameSite::Lax`].
    ///
    /// [`SameSite::None`] takes away that other sites cannot act for the user;
    /// [`SameSite::Strict`], that whoever follows a link from elsewhere is still logged in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for [`SameSite::None`] with
    /// [insecure cookies](Self::with_insecure_cookies).
    pub fn with_same_site(self, same_site: SameSite) -> Result<Self, Error> {
        let cookies = self.cookies.clone().with_same_site(same_site)?;
        Ok(self.with_cookies(cookies))
    }

    /// Browsers return the cookies to this domain and all below it. Default: to this very host
    /// alone.
    ///
    /// It takes away `__Host-` (the names become `__Secure-sid` and `__Secure-sd`): each host below
    /// the domain reads the session, and can plant another.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for what is no domain, and where a name that
    /// was chosen begins with `__Host-`.
    ///
    /// ```no_run
    /// # use evenkeel::layer::SessionLayer;
    /// # fn demo(sessions: SessionLayer) -> Result<(), evenkeel::Error> {
    /// let sessions = sessions.with_domain("example.com")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_domain(self, domain: &str) -> Result<Self, Error> {
        let cookies = self.cookies.clone().with_domain(domain)?;
        Ok(self.with_cookies(cookies))
    }

    /// Browsers return the cookies to this path and all below it. Default: `/`.
    ///
    /// Another takes away `__Host-` (the names become `__Secure-sid` and `__Secure-sd`). It keeps
    /// nothing from other paths of the host, whose pages can still read what is below.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for what is no path, and where a name that
    /// was chosen begins with `__Host-`.
    pub fn with_path(self, path: &str) -> Result<Self, Error> {
        let cookies = self.cookies.clone().with_path(path)?;
        Ok(self.with_cookies(cookies))
    }

    /// Cookies that end with the browser. Default: they stay for as long as the session lives.
    ///
    /// Browsers that restore their windows keep them all the same; how long a session lives is set
    /// by [`with_expiry`](Self::with_expiry).
    #[must_use]
    pub fn with_session_cookies(mut self) -> Self {
        self.cookies.is_persistent = false;
        self
    }

    /// Cookies named `sid` and `sd` (or as [chosen](Self::with_cookie_names), without a prefix),
    /// without `Secure`. For development with a client that keeps no `Secure` cookies over plain
    /// HTTP: browsers and curl take them from `localhost` and `127.0.0.1` all the same. Whoever
    /// listens on the wire has the session then, and a sibling domain may plant one. Default:
    /// `__Host-sid` and `__Host-sd`, `Secure`.
    #[must_use]
    pub fn with_insecure_cookies(self) -> Self {
        let cookies = self.cookies.clone().insecure();
        self.with_cookies(cookies)
    }

    fn with_cookies(mut self, cookies: CookieSettings) -> Self {
        self.rules.cookie = Arc::clone(&cookies.snapshot);
        self.cookies = cookies;
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
        SessionService::new(inner, Arc::new(Settings { sessions, cookies: self.cookies.clone() }))
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
