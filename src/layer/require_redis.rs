//! Refuses what needs Redis while it is away.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, request::Parts};
use pin_project::pin_project;
use tower::{Layer, Service};

use crate::{
    health::{HealthMonitor, RequestBudget, WithBudget},
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
/// [`with_refusal`](Self::with_refusal) says otherwise, and a probe is asked for; the inner service is not
/// called. While Redis is there the layer costs an atomic load and allocates nothing.
pub struct RequireRedisLayer<R = StandardRefusal> {
    gate: Gate<R>,
}

struct Gate<R> {
    monitor: HealthMonitor,
    reads_only: bool,
    refusal: Arc<R>,
}

impl RequireRedisLayer {
    /// Requires reads and writes.
    pub fn new(monitor: &HealthMonitor) -> Self {
        let refusal = Arc::new(StandardRefusal);
        Self { gate: Gate { monitor: monitor.clone(), reads_only: false, refusal } }
    }
}

impl<R> RequireRedisLayer<R> {
    /// Requires reads only: requests go on while Redis takes no writes (a replica, `OOM`, `MISCONF`, …). By default
    /// writes are required, too.
    #[must_use]
    pub fn reads_only(mut self) -> Self {
        self.gate.reads_only = true;
        self
    }

    /// Answers refused requests with what `refusal` returns: any response of the body that the inner service has. The
    /// [`Refusal`] is in its extensions all the same. By default [`StandardRefusal`].
    ///
    /// ```
    /// use evenkeel::{health::HealthMonitor, layer::RequireRedisLayer, respond::Refusal};
    /// use axum::{Router, http::request::Parts, response::{Html, IntoResponse}, routing::get};
    ///
    /// # fn demo(monitor: &HealthMonitor) -> Router {
    /// let layer = RequireRedisLayer::new(monitor).with_refusal(|request: &Parts, refusal: Refusal| {
    ///     let page = format!("<p>{} rests. Please come back in a moment.", request.uri.path());
    ///     (refusal.status(), Html(page)).into_response()
    /// });
    /// Router::new().route("/strict", get(|| async { "ok" })).layer(layer)
    /// # }
    /// ```
    #[must_use]
    pub fn with_refusal<F, B>(self, refusal: F) -> RequireRedisLayer<F>
    where
        F: Fn(&Parts, Refusal) -> Response<B>,
    {
        let Gate { monitor, reads_only, .. } = self.gate;
        RequireRedisLayer { gate: Gate { monitor, reads_only, refusal: Arc::new(refusal) } }
    }
}

impl<R> Clone for RequireRedisLayer<R> {
    fn clone(&self) -> Self {
        Self { gate: self.gate.clone() }
    }
}

impl<R> fmt::Debug for RequireRedisLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireRedisLayer").field("gate", &self.gate).finish()
    }
}

impl<S, R> Layer<S> for RequireRedisLayer<R> {
    type Service = RequireRedis<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireRedis { inner, gate: Arc::new(self.gate.clone()) }
    }
}

/// The service of [`RequireRedisLayer`].
pub struct RequireRedis<S, R = StandardRefusal> {
    inner: S,
    gate: Arc<Gate<R>>,
}

impl<S, R> RequireRedis<S, R> {
    crate::accessors::accessors!();
}

impl<S: Clone, R> Clone for RequireRedis<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), gate: Arc::clone(&self.gate) }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for RequireRedis<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireRedis")
            .field("inner", &self.inner)
            .field("gate", &self.gate)
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
        let answer = if self.gate.is_open() {
            Answer::Passed(RequestBudget::scope(self.inner.call(request)))
        } else {
            Answer::Refused(Some(self.gate.refuse(request)))
        };
        RequireRedisFuture { answer }
    }
}

impl<R> Gate<R> {
    #[inline]
    fn is_open(&self) -> bool {
        if self.reads_only { self.monitor.can_read() } else { self.monitor.is_available() }
    }

    #[cold]
    fn refuse<ReqBody, B>(&self, request: Request<ReqBody>) -> Response<ResponseBody<B>>
    where
        R: RefusalResponse<B>,
    {
        self.monitor.request_probe();
        let refusal = Refusal::unavailable(&self.monitor);
        let mut response = self.refusal.refuse(&request.into_parts().0, refusal);
        response.extensions_mut().insert(refusal);
        response
    }
}

impl<R> Clone for Gate<R> {
    fn clone(&self) -> Self {
        Self {
            monitor: self.monitor.clone(),
            reads_only: self.reads_only,
            refusal: Arc::clone(&self.refusal),
        }
    }
}

impl<R> fmt::Debug for Gate<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("monitor", &self.monitor)
            .field("reads_only", &self.reads_only)
            .finish_non_exhaustive()
    }
}

/// The response future of [`RequireRedis`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct RequireRedisFuture<F, B> {
    #[pin]
    answer: Answer<F, B>,
}

#[pin_project(project = AnswerProj)]
enum Answer<F, B> {
    Passed(#[pin] WithBudget<F>),
    Refused(Option<Response<ResponseBody<B>>>),
}

impl<F, B, E> Future for RequireRedisFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().answer.project() {
            AnswerProj::Passed(inner) => {
                Poll::Ready(Ok(ready!(inner.poll(cx))?.map(ResponseBody::inner)))
            }
            // Polled again after its end: like a future that never ends, not a panic.
            AnswerProj::Refused(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
        }
    }
}

impl<F, B> fmt::Debug for RequireRedisFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = matches!(self.answer, Answer::Refused(_));
        f.debug_struct("RequireRedisFuture").field("refused", &refused).finish_non_exhaustive()
    }
}
