//! The layer that limits what is in flight, and its settings.

use std::fmt;
use std::sync::Arc;

use http::{Response, request::Parts};
use tower::Layer;

use super::applied::Applied;
use super::rules::ConcurrencyLimitRules;
use crate::layer::client_key::{ClientKey, Extraction, MissingAddress, MissingKey};
use crate::layer::gate::{Config, Gate, GateFuture};
use crate::layer::request_head::RequestHead;
use crate::redis::Redis;
use crate::respond::{Refusal, StandardRefusal};
use crate::store::concurrency::{ConcurrencyLimiter, InFlight};

/// Limits how many requests of each client are in flight at a time, over all instances.
///
/// Clones, and the services that it makes, share their state. See the
/// [module](crate::layer::concurrency_limit) for what counts as in flight.
///
/// ```no_run
/// use evenkeel::{layer::ConcurrencyLimitLayer, redis::Redis, store::concurrency::InFlight};
/// use tower::ServiceBuilder;
///
/// # fn demo<S>(redis: &Redis, handler: S) {
/// let service = ServiceBuilder::new()
///     .layer(ConcurrencyLimitLayer::new(redis, InFlight::at_most(10)))
///     .service(handler);
/// # }
/// ```
///
/// # When Redis is down
///
/// The limit goes on in memory, on this instance's share, without I/O. The first request that finds
/// out waits for at most the `op_timeout`.
pub struct ConcurrencyLimitLayer<R = StandardRefusal> {
    config: Config<ConcurrencyLimitRules, R>,
}

impl ConcurrencyLimitLayer {
    /// Limits each client, by the address of its end of the connection, to so many at a time.
    /// Behind a proxy, see [`with_key`](Self::with_key).
    ///
    /// Layers with the same [name](InFlight::with_name) and the same key count together in Redis.
    /// In memory they do not: a limit that several layers share is best given one limiter, see
    /// [`with_limiter`](Self::with_limiter).
    pub fn new(redis: &Redis, limit: InFlight) -> Self {
        Self::with_limiter(&ConcurrencyLimiter::new(redis, limit))
    }

    /// The same, over a limiter that the application has already.
    pub fn with_limiter(limiter: &ConcurrencyLimiter) -> Self {
        let rules =
            ConcurrencyLimitRules { limiter: limiter.clone(), clients: Extraction::default() };
        Self { config: Config::new(rules) }
    }
}

impl<R> ConcurrencyLimitLayer<R> {
    /// Whom a request is counted for. Default: [`ClientKey::peer`], the address of the other end of
    /// the connection, which the server has to tell: see [`MissingAddress`].
    #[must_use]
    pub fn with_key(mut self, key: ClientKey) -> Self {
        self.config.rules_mut().clients.key = key;
        self
    }

    /// What becomes of a request without a key. Default: [`MissingKey::Shared`].
    #[must_use]
    pub fn with_missing_key(mut self, choice: MissingKey) -> Self {
        self.config.rules_mut().clients.missing_key = choice;
        self
    }

    /// What becomes of a request whose address the server does not tell, when the key needs it.
    /// Default: [`MissingAddress::Refuse`], and the log says at the first request what the server
    /// lacks.
    #[must_use]
    pub fn with_missing_address(mut self, choice: MissingAddress) -> Self {
        self.config.rules_mut().clients.missing_address = choice;
        self
    }

    /// Requests for which this is true are neither limited nor counted. Default: none.
    #[must_use]
    pub fn with_exemption(
        mut self,
        exempt: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.config.rules_mut().clients.exempt = Some(Arc::new(exempt));
        self
    }

    /// Answers refused requests with what `refusal` returns, whatever the reason
    /// ([`Refusal::kind`]). The refusal is in the extensions all the same. Default:
    /// [`StandardRefusal`].
    #[must_use]
    pub fn with_refusal<F, B>(self, refusal: F) -> ConcurrencyLimitLayer<F>
    where
        F: Fn(&Parts, Refusal) -> Response<B>,
    {
        ConcurrencyLimitLayer { config: self.config.with_refusal(refusal) }
    }
}

impl<R> Clone for ConcurrencyLimitLayer<R> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone() }
    }
}

impl<R> fmt::Debug for ConcurrencyLimitLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimitLayer").field("rules", &self.config).finish()
    }
}

impl<S, R> Layer<S> for ConcurrencyLimitLayer<R> {
    type Service = ConcurrencyLimit<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate::new(inner, &self.config)
    }
}

/// The service of [`ConcurrencyLimitLayer`].
pub type ConcurrencyLimit<S, R = StandardRefusal> = Gate<S, ConcurrencyLimitRules, R>;

/// The response future of [`ConcurrencyLimit`].
pub type ConcurrencyLimitFuture<F, B> = GateFuture<F, B, Applied>;
