//! The layer that limits rates, and its settings.

use std::fmt;
use std::sync::Arc;

use http::{Response, request::Parts};
use tower::Layer;

use super::applied::Applied;
use super::headers::HeaderStyle;
use super::rules::{Limit, RateLimitRules};
use crate::layer::client_key::{ClientKey, Extraction, MissingAddress, MissingKey};
use crate::layer::gate::{Config, Gate, GateFuture};
use crate::layer::request_head::RequestHead;
use crate::redis::Redis;
use crate::respond::{Refusal, StandardRefusal};
use crate::store::rate::{OutagePolicy, RateLimiter, RatePolicy};

/// Limits how much each client may ask, over all instances.
///
/// Clones, and the services that it makes, share their state. The order of layers matters: what
/// stands outside of this one (a body limit, say) runs for refused requests as well; what stands
/// inside runs for admitted ones only.
///
/// ```no_run
/// use evenkeel::{layer::rate_limit::RateLimitLayer, redis::Redis, store::rate::Quota};
/// use tower::ServiceBuilder;
///
/// # fn demo<S>(redis: &Redis, handler: S) {
/// let service = ServiceBuilder::new()
///     .layer(RateLimitLayer::new(redis, Quota::per_minute(100)))
///     .service(handler);
/// # }
/// ```
///
/// # When Redis is down
///
/// The limit goes on in memory ([`with_outage_policy`](Self::with_outage_policy) for other
/// choices), without I/O and without a boxed future. The first request that finds out waits for at
/// most the `op_timeout`.
pub struct RateLimitLayer<R = StandardRefusal> {
    config: Config<RateLimitRules, R>,
}

impl RateLimitLayer {
    /// Limits each client, by the address of its end of the connection, to this
    /// [`Quota`](crate::store::rate::Quota) or [`RatePolicy`]. Behind a proxy, see
    /// [`with_key`](Self::with_key).
    ///
    /// Two layers with the same policy name and the same key share their budgets, in Redis and in
    /// memory. Policies that are to count apart need different names, see
    /// [`RatePolicy::with_name`].
    pub fn new(redis: &Redis, policy: impl Into<RatePolicy>) -> Self {
        Self::with_limiter(&RateLimiter::new(redis), policy)
    }

    /// The same, over a limiter that the application has already, with settings of its own or
    /// shared with others.
    pub fn with_limiter(limiter: &RateLimiter, policy: impl Into<RatePolicy>) -> Self {
        let rules = RateLimitRules {
            limit: Limit::new(limiter, policy.into()),
            limiter: limiter.clone(),
            limit_for: None,
            clients: Extraction::default(),
            cost: 1,
            cost_for: None,
            outage: OutagePolicy::default(),
            headers: HeaderStyle::default(),
            shadow: false,
            extensions: true,
        };
        Self { config: Config::new(rules) }
    }
}

impl<R> RateLimitLayer<R> {
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

    /// Chooses the policy for each request: tiers. Make the policies once and hand out clones; give
    /// them different names. Default: the one policy for all.
    ///
    /// ```no_run
    /// # use evenkeel::{layer::RateLimitLayer, redis::Redis, store::rate::{RatePolicy, Quota}};
    /// # fn demo(redis: &Redis) {
    /// let free = RatePolicy::from(Quota::per_minute(10).with_name("free"));
    /// let paid = RatePolicy::from(Quota::per_minute(1_000).with_name("paid"));
    /// let layer = RateLimitLayer::new(redis, free.clone()).with_policy_for(move |request| {
    ///     if request.headers.contains_key("x-plan") { paid.clone() } else { free.clone() }
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn with_policy_for(
        mut self,
        policy: impl Fn(&RequestHead<'_>) -> RatePolicy + Send + Sync + 'static,
    ) -> Self {
        self.config.rules_mut().limit_for = Some(Arc::new(policy));
        self
    }

    /// What each request costs. Default: 1. With 0 nothing is spent, and nobody refused.
    #[must_use]
    pub fn with_cost(mut self, cost: u32) -> Self {
        self.config.rules_mut().cost = cost;
        self
    }

    /// What this request costs. Default: the same for all.
    #[must_use]
    pub fn with_cost_for(
        mut self,
        cost: impl Fn(&RequestHead<'_>) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.config.rules_mut().cost_for = Some(Arc::new(cost));
        self
    }

    /// Requests for which this is true are not limited, not counted, and show no headers. Default:
    /// none.
    #[must_use]
    pub fn with_exemption(
        mut self,
        exempt: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.config.rules_mut().clients.exempt = Some(Arc::new(exempt));
        self
    }

    /// What decides while Redis is away. Default: [`OutagePolicy::Local`].
    #[must_use]
    pub fn with_outage_policy(mut self, outage: OutagePolicy) -> Self {
        self.config.rules_mut().outage = outage;
        self
    }

    /// Which headers clients see. Default: [`HeaderStyle::Draft`].
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderStyle) -> Self {
        self.config.rules_mut().headers = headers;
        self
    }

    /// Decides and counts (`shadow_limited`), but refuses nobody and shows no headers: to try a
    /// limit before it is in force. The handler sees the
    /// [`RateVerdict`](crate::store::rate::RateVerdict).
    #[must_use]
    pub fn with_shadow_mode(mut self) -> Self {
        self.config.rules_mut().shadow = true;
        self
    }

    /// Leaves the [`RateVerdict`](crate::store::rate::RateVerdict) out of the extensions of
    /// requests and responses, which saves a few small allocations where nobody reads it. Default:
    /// it is there.
    #[must_use]
    pub fn without_extensions(mut self) -> Self {
        self.config.rules_mut().extensions = false;
        self
    }

    /// Answers refused requests with what `refusal` returns, whatever the reason
    /// ([`Refusal::kind`]). The headers are added, and the refusal is in the extensions, all the
    /// same. Default: [`StandardRefusal`].
    #[must_use]
    pub fn with_refusal<F, B>(self, refusal: F) -> RateLimitLayer<F>
    where
        F: Fn(&Parts, Refusal) -> Response<B>,
    {
        RateLimitLayer { config: self.config.with_refusal(refusal) }
    }
}

impl<R> Clone for RateLimitLayer<R> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone() }
    }
}

impl<R> fmt::Debug for RateLimitLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").field("rules", &self.config).finish()
    }
}

impl<S, R> Layer<S> for RateLimitLayer<R> {
    type Service = RateLimit<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate::new(inner, &self.config)
    }
}

/// The service of [`RateLimitLayer`].
pub type RateLimit<S, R = StandardRefusal> = Gate<S, RateLimitRules, R>;

/// The response future of [`RateLimit`].
pub type RateLimitFuture<F, B> = GateFuture<F, B, Box<Applied>>;
