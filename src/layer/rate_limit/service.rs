//! The service round another.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::future::{RateLimitFuture, Waiting};
use super::rules::{Fate, Rules, Step};
use crate::layer::course::{Course, take_ready};
use crate::respond::{RefusalResponse, ResponseBody, StandardRefusal};

/// The service of [`RateLimitLayer`](super::RateLimitLayer).
///
/// The inner service must be [`Clone`]: while Redis is asked about one request, the next can come.
pub struct RateLimit<S, R = StandardRefusal> {
    inner: S,
    rules: Arc<Rules<R>>,
}

impl<S, R> RateLimit<S, R> {
    pub(super) fn new(inner: S, rules: Arc<Rules<R>>) -> Self {
        Self { inner, rules }
    }

    crate::accessors::accessors!();
}

impl<S: Clone, R> Clone for RateLimit<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), rules: Arc::clone(&self.rules) }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for RateLimit<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).field("rules", &self.rules).finish()
    }
}

impl<S, R, ReqBody, ResBody> Service<Request<ReqBody>> for RateLimit<S, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    R: RefusalResponse<ResBody>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = RateLimitFuture<S, ReqBody, ResBody, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let course = match self.rules.begin(&request) {
            // The commonest, without a detour.
            Step::Decided(Fate::Pass(None)) => Course::serve(self.inner.call(request)),
            Step::Decided(fate) => fate.next(&mut self.inner, request, &self.rules).begin(),
            Step::Ask(answer, limit) => {
                let (inner, rules) = (take_ready(&mut self.inner), Arc::clone(&self.rules));
                Course::ask(answer, Waiting { limit, inner, request, rules })
            }
        };
        RateLimitFuture { course }
    }
}
