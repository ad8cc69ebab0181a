//! Refuses what needs Redis while it is away.

use std::{
    fmt,
    task::{Context, Poll},
};

use http::{Request, Response, request::Parts};
use tower::{Layer, Service};

use super::gate::{Config, Disposition, GateFuture, Unannotated};
use crate::{
    health::HealthMonitor,
    respond::{Refusal, RefusalResponse, ResponseBody, StandardRefusal},
};

/// Lets requests through while Redis is there, and refuses them while it is not.
///
/// ```
/// use evenkeel::{health::HealthMonitor, layer::RequireRedisLayer};
/// use axum::{Router, routing::get};
///
/// # fn demo(monitor: &HealthMonitor) -> Router {
/// Router::new().route("/strict", get(|| async { "ok" })).layer(RequireRedisLayer::new(monitor))
/// # }
/// ```
///
/// # When Redis is down
///
/// The request is answered at once with a [refusal](crate::respond), 503 unless
/// [`with_refusal`](Self::with_refusal) says otherwise, and a probe is asked for; the inner service
/// is not called. While Redis is there the layer costs an atomic load and allocates nothing.
pub struct RequireRedisLayer<R = StandardRefusal> {
    config: Config<Required, R>,
}

/// What is required.
#[derive(Debug, Clone)]
struct Required {
    monitor: HealthMonitor,
    reads_only: bool,
}

impl RequireRedisLayer {
    /// Requires reads and writes.
    pub fn new(monitor: &HealthMonitor) -> Self {
        Self { config: Config::new(Required { monitor: monitor.clone(), reads_only: false }) }
    }
}

impl<R> RequireRedisLayer<R> {
    /// Requires reads only: requests go on while Redis takes no writes (a replica, `OOM`,
    /// `MISCONF`, …). By default writes are required, too.
    #[must_use]
    pub fn reads_only(mut self) -> Self {
        self.config.rules_mut().reads_only = true;
        self
    }

    /// Answers refused requests with what `refusal` returns: any response of the body that the
    /// inner service has. The [`Refusal`] is in its extensions all the same. By default
    /// [`StandardRefusal`].
    ///
    /// ```
    /// use evenkeel::{health::HealthMonitor, layer::RequireRedisLayer, respond::Refusal};
    /// use axum::{Router, http::request::Parts, response::{Html, IntoResponse}, routing::get};
    ///
    /// # fn demo(monitor: &HealthMonitor) -> Router {
    /// let page = |request: &Parts, refusal: Refusal| {
    ///     let page = format!("<p>{} rests. Please come back in a moment.", request.uri.path());
    ///     (refusal.status(), Html(page)).into_response()
    /// };
    /// let layer = RequireRedisLayer::new(monitor).with_refusal(page);
    /// Router::new().route("/strict", get(|| async { "ok" })).layer(layer)
    /// # }
    /// ```
    #[must_use]
    pub fn with_refusal<F, B>(self, refusal: F) -> RequireRedisLayer<F>
    where
        F: Fn(&Parts, Refusal) -> Response<B>,
    {
        RequireRedisLayer { config: self.config.with_refusal(refusal) }
    }
}

impl<R> Clone for RequireRedisLayer<R> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone() }
    }
}

impl<R> fmt::Debug for RequireRedisLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireRedisLayer").field("required", &self.config).finish()
    }
}

impl<S, R> Layer<S> for RequireRedisLayer<R> {
    type Service = RequireRedis<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireRedis { inner, config: self.config.clone() }
    }
}

/// The service of [`RequireRedisLayer`].
pub struct RequireRedis<S, R = StandardRefusal> {
    inner: S,
    config: Config<Required, R>,
}

impl<S, R> RequireRedis<S, R> {
    crate::accessors::accessors!();
}

impl<S: Clone, R> Clone for RequireRedis<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: self.config.clone() }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for RequireRedis<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireRedis")
            .field("inner", &self.inner)
            .field("required", &self.config)
            .finish()
    }
}

impl<S, R, ReqBody, ResBody> Service<Request<ReqBody>> for RequireRedis<S, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = RequireRedisFuture<S::Future, ResBody>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let disposition = self.config.rules().decide();
        GateFuture::new(self.config.apply(disposition, &mut self.inner, request))
    }
}

impl Required {
    #[inline]
    fn decide(&self) -> Disposition<Unannotated> {
        let is_there =
            if self.reads_only { self.monitor.can_read() } else { self.monitor.is_available() };
        if is_there { Disposition::Pass(None) } else { self.refuse() }
    }

    #[cold]
    fn refuse(&self) -> Disposition<Unannotated> {
        self.monitor.request_probe();
        Disposition::Refuse(Refusal::unavailable(&self.monitor), None)
    }
}

/// The response future of [`RequireRedis`].
pub type RequireRedisFuture<F, B> = GateFuture<F, B, Unannotated>;
