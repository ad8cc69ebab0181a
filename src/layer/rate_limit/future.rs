//! The response future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project::pin_project;
use tower::Service;

use super::rules::{Fate, Limit, Rules, Ruling};
use crate::layer::course::{self, Course, Next, Note};
use crate::respond::{RefusalResponse, ResponseBody};
use crate::store::rate::Verdict;

/// The response future of [`RateLimit`](super::RateLimit).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct RateLimitFuture<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>>,
{
    #[pin]
    pub(super) course: LimitCourse<S, S::Future, ReqBody, ResBody, R>,
}

type LimitCourse<S, F, ReqBody, ResBody, R> =
    Course<Option<Verdict>, Waiting<S, ReqBody, R>, F, Told<R>, Response<ResponseBody<ResBody>>>;

/// A request that waits for the verdict, and the service that was ready for it.
pub(super) struct Waiting<S, ReqBody, R> {
    pub(super) limit: Option<Limit>,
    pub(super) inner: S,
    pub(super) request: Request<ReqBody>,
    pub(super) rules: Arc<Rules<R>>,
}

/// A ruling that the response is to tell of.
pub(super) struct Told<R> {
    rules: Arc<Rules<R>>,
    ruling: Box<Ruling>,
}

impl Fate {
    /// Carries it out; `inner` is ready.
    pub(super) fn next<S, ReqBody, ResBody, R>(
        self,
        inner: &mut S,
        mut request: Request<ReqBody>,
        rules: &Arc<Rules<R>>,
    ) -> Next<S::Future, Told<R>, Response<ResponseBody<ResBody>>>
    where
        S: Service<Request<ReqBody>>,
        R: RefusalResponse<ResBody>,
    {
        match self {
            Self::Pass(None) => Next::Serve(inner.call(request), None),
            Self::Pass(Some(ruling)) => {
                rules.mark_request(&ruling, &mut request);
                let told = Told { rules: Arc::clone(rules), ruling };
                Next::Serve(inner.call(request), Some(told))
            }
            Self::Refuse(refusal, ruling) => {
                Next::Refuse(rules.refuse(request, refusal, ruling.as_deref()))
            }
        }
    }
}

impl<S, ReqBody, ResBody, R>
    course::Waiting<Option<Verdict>, S::Future, Told<R>, Response<ResponseBody<ResBody>>>
    for Waiting<S, ReqBody, R>
where
    S: Service<Request<ReqBody>>,
    R: RefusalResponse<ResBody>,
{
    fn go_on(
        mut self,
        verdict: Option<Verdict>,
    ) -> Next<S::Future, Told<R>, Response<ResponseBody<ResBody>>> {
        let fate = self.rules.conclude(verdict.as_ref(), self.limit);
        fate.next(&mut self.inner, self.request, &self.rules)
    }
}

impl<ResBody, R> Note<Response<ResBody>> for Told<R> {
    type Response = Response<ResponseBody<ResBody>>;

    fn add_to(self, mut response: Response<ResBody>) -> Self::Response {
        self.rules.mark_response(&self.ruling, &mut response);
        Self::nothing(response)
    }

    #[inline]
    fn nothing(response: Response<ResBody>) -> Self::Response {
        response.map(ResponseBody::inner)
    }
}

impl<S, ReqBody, ResBody, R> Future for RateLimitFuture<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().course.poll(cx)
    }
}

impl<S, ReqBody, ResBody, R> fmt::Debug for RateLimitFuture<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitFuture").finish_non_exhaustive()
    }
}
