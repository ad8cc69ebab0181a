//! The service round another.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::body::InFlightBody;
use super::future::{ConcurrencyLimitFuture, Waiting};
use super::rules::{Rules, Step};
use crate::layer::course::{Course, take_ready};
use crate::respond::{RefusalResponse, StandardRefusal};

/// The service of [`ConcurrencyLimitLayer`](super::ConcurrencyLimitLayer).
///
/// The inner service must be [`Clone`]: while Redis is asked about one request, the next can come.
pub struct ConcurrencyLimit<S, R = StandardRefusal> {
    inner: S,
    rules: Arc<Rules<R>>,
}

impl<S, R> ConcurrencyLimit<S, R> {
    pub(super) fn new(inner: S, rules: Arc<Rules<R>>) -> Self {
        Self { inner, rules }
    }

    crate::accessors::accessors!();
}

impl<S: Clone, R> Clone for ConcurrencyLimit<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), rules: Arc::clone(&self.rules) }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for ConcurrencyLimit<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ConcurrencyLimit");
        shown.field("inner", &self.inner).field("rules", &self.rules).finish()
    }
}

impl<S, R, ReqBody, ResBody> Service<Request<ReqBody>> for ConcurrencyLimit<S, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    R: RefusalResponse<ResBody>,
{
    type Response = Response<InFlightBody<ResBody>>;
    type Error = S::Error;
    type Future = ConcurrencyLimitFuture<S, ReqBody, ResBody, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let course = match self.rules.begin(&request) {
            Step::Decided(fate) => fate.next(&mut self.inner, request, &self.rules).begin(),
            Step::Ask(answer) => {
                let (inner, rules) = (take_ready(&mut self.inner), Arc::clone(&self.rules));
                Course::ask(answer, Waiting { inner, request, rules })
            }
        };
        ConcurrencyLimitFuture { course }
    }
}
