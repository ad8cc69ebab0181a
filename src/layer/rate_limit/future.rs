//! The response future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use pin_project::pin_project;
use tower::Service;

use super::rules::{Fate, Limit, Rules, Ruling};
use crate::health::{RequestBudget, WithBudget};
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
    course: WithBudget<Course<S, ReqBody, ResBody, R>>,
}

impl<S, ReqBody, ResBody, R> RateLimitFuture<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    #[inline(always)]
    pub(super) fn new(course: Course<S, ReqBody, ResBody, R>) -> Self {
        Self { course: RequestBudget::give(course) }
    }
}

/// What a request goes through.
#[pin_project(project = CourseProj)]
pub(super) enum Course<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>>,
{
    /// Redis is asked. Boxed, because what the store does has no name, and so that decisions that are made at once do
    /// not carry the room for this.
    Asking {
        answer: BoxFuture<'static, Option<Verdict>>,
        waiting: Option<Box<Waiting<S, ReqBody, R>>>,
    },
    /// The inner service works. `told` is what its answer is to tell, if anything.
    Serving {
        #[pin]
        inner: S::Future,
        told: Option<(Arc<Rules<R>>, Box<Ruling>)>,
    },
    /// It was answered here. Boxed, so that those who pass do not carry the room for two responses.
    Refused(Option<Box<Response<ResponseBody<ResBody>>>>),
}

/// A request that waits for the answer, and the service that was ready for it.
pub(super) struct Waiting<S, ReqBody, R> {
    pub(super) limit: Option<Limit>,
    pub(super) inner: S,
    pub(super) request: Request<ReqBody>,
    pub(super) rules: Arc<Rules<R>>,
}

impl<S, ReqBody, ResBody, R> Course<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    pub(super) fn asking(
        answer: BoxFuture<'static, Option<Verdict>>,
        waiting: Waiting<S, ReqBody, R>,
    ) -> Self {
        Self::Asking { answer, waiting: Some(Box::new(waiting)) }
    }

    /// `inner` is ready.
    #[inline(always)]
    pub(super) fn of(
        fate: Fate,
        inner: &mut S,
        mut request: Request<ReqBody>,
        rules: &Arc<Rules<R>>,
    ) -> Self {
        match fate {
            Fate::Pass(ruling) => {
                rules.mark_request(ruling.as_deref(), &mut request);
                let told = ruling.map(|ruling| (Arc::clone(rules), ruling));
                Self::Serving { inner: inner.call(request), told }
            }
            Fate::Refuse(refusal, ruling) => {
                let response = rules.refuse(request, refusal, ruling.as_deref());
                Self::Refused(Some(Box::new(response)))
            }
        }
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

impl<S, ReqBody, ResBody, R> Future for Course<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                CourseProj::Asking { answer, waiting } => {
                    let verdict = ready!(answer.as_mut().poll(cx));
                    // Polled again after its end: like a future that never ends, not a panic.
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    let Waiting { limit, mut inner, request, rules } = *waiting;
                    Self::of(rules.conclude(verdict.as_ref(), limit), &mut inner, request, &rules)
                }
                CourseProj::Serving { inner, told } => {
                    let mut response = ready!(inner.poll(cx))?;
                    if let Some((rules, ruling)) = told {
                        rules.mark_response(ruling, &mut response);
                    }
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                CourseProj::Refused(response) => {
                    return response
                        .take()
                        .map_or(Poll::Pending, |response| Poll::Ready(Ok(*response)));
                }
            };
            self.set(next);
        }
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
