//! The router in front of another service.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project::pin_project;
use tower::{Layer, Service};

use super::{HealthRouter, answer::Answer};
use crate::respond::ResponseBody;

/// Answers the [paths](super) of a [`HealthRouter`] and passes everything else on; for a server
/// without a router, such as one of hyper or tonic. The error type of the inner service stays as it
/// is.
///
/// ```
/// use evenkeel::{health::HealthMonitor, health_router::HealthRouter};
/// use tower::ServiceBuilder;
///
/// # fn demo<S>(monitor: &HealthMonitor, inner: S) {
/// let service = ServiceBuilder::new()
///     .layer(HealthRouter::new(monitor).layer())
///     .service(inner);
/// # }
/// ```
///
/// # When Redis is down
///
/// As the [module](super) says: nothing here does I/O to Redis.
#[derive(Debug, Clone)]
pub struct HealthLayer {
    router: HealthRouter,
}

impl HealthLayer {
    /// Answers what `router` answers.
    pub fn new(router: HealthRouter) -> Self {
        Self { router }
    }
}

impl HealthRouter {
    /// A layer that answers the [paths](super) of this router and passes everything else on.
    pub fn layer(self) -> HealthLayer {
        HealthLayer::new(self)
    }
}

impl<S> Layer<S> for HealthLayer {
    type Service = HealthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HealthService { inner, router: self.router.clone() }
    }
}

/// The service of [`HealthLayer`].
#[derive(Debug, Clone)]
pub struct HealthService<S> {
    inner: S,
    router: HealthRouter,
}

impl<S> HealthService<S> {
    crate::accessors::accessors!();
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for HealthService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = HealthServiceFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        if self.router.route(request.uri().path()).is_none() {
            return HealthServiceFuture { answer: Responder::Inner(self.inner.call(request)) };
        }
        // The inner service was polled ready and is not going to be called: what it has reserved (a
        // slot of a concurrency limit) would be held until the next request on this connection. A
        // clone holds nothing.
        self.inner = self.inner.clone();
        let (parts, _) = request.into_parts();
        HealthServiceFuture { answer: Responder::Ours(self.router.answer(&parts)) }
    }
}

/// The future of [`HealthService`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct HealthServiceFuture<F> {
    #[pin]
    answer: Responder<F>,
}

#[pin_project(project = ResponderProj)]
/// Who answers: the router, or the inner service.
enum Responder<F> {
    Ours(Answer),
    Inner(#[pin] F),
}

impl<F, B, E> Future for HealthServiceFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().answer.project() {
            ResponderProj::Inner(inner) => {
                ready!(inner.poll(cx)).map(|r| r.map(ResponseBody::inner))
            }
            ResponderProj::Ours(answer) => {
                let answer: Response<Bytes> = ready!(Pin::new(answer).poll(cx));
                Ok(answer.map(ResponseBody::from))
            }
        })
    }
}

impl<F> fmt::Debug for HealthServiceFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthServiceFuture").finish_non_exhaustive()
    }
}
