//! Tells the handler whether Redis is there.

use std::{
    fmt,
    task::{Context, Poll},
};

use http::{Extensions, Request, Response};
use tower::{Layer, Service};

use crate::health::{Admission, HealthMonitor, RequestBudget, State, WithBudget};

/// What was known of Redis when the request arrived; [`CheckRedisLayer`] puts it into the request's
/// extensions.
///
/// With the `axum` feature it is an extractor. It does not change while the request is served: who
/// wants to know what is true now asks the [`HealthMonitor`].
#[derive(Clone, Copy)]
pub struct RedisStatus(Admission);

impl RedisStatus {
    /// What is known now.
    #[inline]
    pub fn now(monitor: &HealthMonitor) -> Self {
        Self(monitor.admit())
    }

    /// Reads and writes both work.
    #[inline]
    pub fn is_available(self) -> bool {
        self.can_read() && self.can_write()
    }

    /// Reads work.
    #[inline]
    pub fn can_read(self) -> bool {
        self.0.can_read()
    }

    /// Writes work.
    #[inline]
    pub fn can_write(self) -> bool {
        self.0.can_write()
    }

    /// The state.
    #[inline]
    pub fn state(self) -> State {
        self.0.state()
    }

    /// Held down by [`HealthMonitor::force_down`].
    #[inline]
    pub fn is_forced(self) -> bool {
        self.0.is_forced()
    }

    /// Where a layer further out has put one already, it is overwritten in its place: no
    /// allocation.
    #[inline]
    fn put_into(self, extensions: &mut Extensions) {
        *extensions.get_or_insert(self) = self;
    }
}

impl fmt::Debug for RedisStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStatus")
            .field("state", &self.state())
            .field("reads", &self.can_read())
            .field("writes", &self.can_write())
            .field("forced", &self.is_forced())
            .finish()
    }
}

/// Puts [`RedisStatus`] into the extensions of each request; the handler decides what to do with
/// it.
///
#[cfg_attr(feature = "axum", doc = "```")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use evenkeel::{health::HealthMonitor, layer::{CheckRedisLayer, RedisStatus}};
/// use axum::{Router, routing::get};
///
/// async fn soft(redis: RedisStatus) -> &'static str {
///     if redis.is_available() { "all there" } else { "without the frills today" }
/// }
///
/// # fn demo(monitor: &HealthMonitor) -> Router {
/// Router::new().route("/soft", get(soft)).layer(CheckRedisLayer::new(monitor))
/// # }
/// ```
///
/// Without axum: `request.extensions().get::<RedisStatus>()`.
///
/// # Cost
///
/// One atomic load, and the insertion into [`http::Extensions`], which boxes every value: one small
/// allocation where the request carries extensions already, three where it carries none.
/// [`only_when_degraded`](Self::only_when_degraded) saves them while Redis is there; a handler that
/// keeps a [`HealthMonitor`] and asks it has the same answer without any.
///
/// # When Redis is down
///
/// Requests go on, and a probe is asked for.
#[derive(Debug, Clone)]
pub struct CheckRedisLayer {
    monitor: HealthMonitor,
    only_when_degraded: bool,
}

impl CheckRedisLayer {
    /// Tells what this monitor knows.
    pub fn new(monitor: &HealthMonitor) -> Self {
        Self { monitor: monitor.clone(), only_when_degraded: false }
    }

    /// Leaves the extensions alone while reads and writes both work, which allocates nothing: a
    /// request without a [`RedisStatus`] is one that has all of Redis. Handlers then ask for
    /// `Option<RedisStatus>`. By default every request carries one.
    #[must_use]
    pub fn only_when_degraded(mut self) -> Self {
        self.only_when_degraded = true;
        self
    }
}

impl<S> Layer<S> for CheckRedisLayer {
    type Service = CheckRedis<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CheckRedis { inner, layer: self.clone() }
    }
}

/// The service of [`CheckRedisLayer`].
#[derive(Debug, Clone)]
pub struct CheckRedis<S> {
    inner: S,
    layer: CheckRedisLayer,
}

impl<S> CheckRedis<S> {
    crate::accessors::accessors!();
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for CheckRedis<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = WithBudget<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let status = RedisStatus::now(&self.layer.monitor);
        if !status.is_available() {
            self.layer.monitor.request_probe();
            status.put_into(request.extensions_mut());
        } else if !self.layer.only_when_degraded {
            status.put_into(request.extensions_mut());
        }
        RequestBudget::scope(self.inner.call(request))
    }
}

#[cfg(feature = "axum")]
mod extract {
    use axum_core::{
        extract::{FromRequestParts, OptionalFromRequestParts},
        response::{IntoResponse, Response},
    };
    use http::{StatusCode, request::Parts};
    use std::convert::Infallible;

    use super::RedisStatus;

    /// The route asks for [`RedisStatus`] and has no [`CheckRedisLayer`](super::CheckRedisLayer)
    /// round it.
    ///
    /// A mistake in the program, whatever Redis does: it answers 500 from the first request on, as
    /// axum's own `Extension` does. `Option<RedisStatus>` is for handlers that are used with and
    /// without the layer.
    #[derive(Debug, Clone, Copy, thiserror::Error)]
    #[error("no CheckRedisLayer round this route: it cannot say whether Redis is there")]
    pub struct RedisStatusMissing;

    impl IntoResponse for RedisStatusMissing {
        fn into_response(self) -> Response {
            tracing::error!("{self}");
            (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
        }
    }

    impl<S: Sync> FromRequestParts<S> for RedisStatus {
        type Rejection = RedisStatusMissing;

        async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, RedisStatusMissing> {
            parts.extensions.get().copied().ok_or(RedisStatusMissing)
        }
    }

    impl<S: Sync> OptionalFromRequestParts<S> for RedisStatus {
        type Rejection = Infallible;

        async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
            Ok(parts.extensions.get().copied())
        }
    }
}

#[cfg(feature = "axum")]
pub use extract::RedisStatusMissing;
