//! The service of the layers that may have to ask Redis.

use std::fmt;
use std::mem;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::config::Config;
use super::decide::Decide;
use super::disposition::{Annotate, Disposition};
use super::future::{GateFuture, Passage};
use crate::layer::request_head::RequestHead;
use crate::respond::{RefusalResponse, StandardRefusal};
use crate::store::Step;

/// The service of [`RateLimitLayer`], [`ConcurrencyLimitLayer`] and [`RevocationLayer`], each of
/// which has a name for its own.
///
/// `S` is the inner service, `D` the rules of the layer, and `R` makes the responses of refused
/// requests. The inner service must be [`Clone`]: while Redis is asked about one request, the next
/// can come. It and the body of the request must be `Send + 'static`, as hyper, axum and tonic have
/// them, since both wait for that answer.
///
/// [`RateLimitLayer`]: crate::layer::RateLimitLayer
/// [`ConcurrencyLimitLayer`]: crate::layer::ConcurrencyLimitLayer
/// [`RevocationLayer`]: crate::layer::RevocationLayer
pub struct Gate<S, D, R = StandardRefusal> {
    inner: S,
    config: Config<D, R>,
}

impl<S, D, R> Gate<S, D, R> {
    pub(in crate::layer) fn new(inner: S, config: &Config<D, R>) -> Self {
        Self { inner, config: config.clone() }
    }

    crate::accessors::accessors!();
}

impl<S: Clone, D, R> Clone for Gate<S, D, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: self.config.clone() }
    }
}

impl<S: fmt::Debug, D: fmt::Debug, R> fmt::Debug for Gate<S, D, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("inner", &self.inner).field("rules", &self.config).finish()
    }
}

impl<S, D, R, ReqBody, ResBody> Service<Request<ReqBody>> for Gate<S, D, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    D: Decide,
    R: RefusalResponse<ResBody> + Send + Sync + 'static,
    ReqBody: Send + 'static,
{
    type Response = Response<<D::Applied as Annotate>::Body<ResBody>>;
    type Error = S::Error;
    type Future = GateFuture<S::Future, ResBody, D::Applied>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    #[allow(clippy::async_yields_async, reason = "the rest of the passage is polled in its place")]
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        GateFuture::new(match self.config.rules().decide(&RequestHead::new(&request)) {
            // The commonest, without moving the request once more.
            Step::Decided(Disposition::Pass(None)) => Passage::Serving(self.inner.call(request)),
            Step::Decided(disposition) => self.config.apply(disposition, &mut self.inner, request),
            Step::Ask(question) => {
                // The service that was polled ready is the one that is called; its clone is for the
                // next request.
                let clone = self.inner.clone();
                let mut inner = mem::replace(&mut self.inner, clone);
                let config = self.config.clone();
                Passage::Asking(Box::pin(async move {
                    let disposition = config.rules().ask(question).await;
                    config.apply(disposition, &mut inner, request)
                }))
            }
        })
    }
}
