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
    course: Course<S, S::Future, ReqBody, ResBody, R>,
}

impl<S, ReqBody, ResBody, R> RateLimitFuture<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    #[inline]
    pub(super) fn serving(inner: S::Future) -> Self {
        Self { course: Course::Serving(RequestBudget::give(inner)) }
    }

    pub(super) fn new(course: Course<S, S::Future, ReqBody, ResBody, R>) -> Self {
        Self { course }
    }
}

/// What a request goes through.
#[pin_project(project = CourseProj)]
pub(super) enum Course<S, F, ReqBody, ResBody, R> {
    /// Redis is asked. Boxed, so that decisions that are made at once do not carry the room for this.
    Asking(Option<Box<Asking<S, ReqBody, R>>>),
    /// The inner service works.
    Serving(#[pin] WithBudget<F>),
    /// The inner service works, and its answer is to tell of the ruling.
    Telling {
        #[pin]
        inner: WithBudget<F>,
        rules: Arc<Rules<R>>,
        ruling: Box<Ruling>,
    },
    /// It was answered here. Boxed, so that those who pass do not carry the room for two responses.
    Refused(Option<Box<Response<ResponseBody<ResBody>>>>),
}

/// A request that waits for the answer, and the service that was ready for it.
pub(super) struct Asking<S, ReqBody, R> {
    answer: WithBudget<BoxFuture<'static, Option<Verdict>>>,
    limit: Option<Limit>,
    inner: S,
    request: Request<ReqBody>,
    rules: Arc<Rules<R>>,
}

impl<S, ReqBody, ResBody, R> Course<S, S::Future, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    pub(super) fn asking(
        answer: BoxFuture<'static, Option<Verdict>>,
        limit: Option<Limit>,
        inner: S,
        request: Request<ReqBody>,
        rules: Arc<Rules<R>>,
    ) -> Self {
        let answer = RequestBudget::give(answer);
        Self::Asking(Some(Box::new(Asking { answer, limit, inner, request, rules })))
    }

    /// `inner` is ready.
    pub(super) fn of(
        fate: Fate,
        inner: &mut S,
        mut request: Request<ReqBody>,
        rules: &Arc<Rules<R>>,
        budget: impl FnOnce(S::Future) -> WithBudget<S::Future>,
    ) -> Self {
        match fate {
            Fate::Pass(None) => Self::Serving(budget(inner.call(request))),
            Fate::Pass(Some(ruling)) => {
                rules.mark_request(&ruling, &mut request);
                let inner = budget(inner.call(request));
                Self::Telling { inner, rules: Arc::clone(rules), ruling }
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
        let mut course = self.project().course;
        if let CourseProj::Asking(asking) = course.as_mut().project() {
            let Some(waiting) = asking else { return Poll::Pending };
            let verdict = ready!(Pin::new(&mut waiting.answer).poll(cx));
            // Polled again after its end: like a future that never ends, not a panic.
            let Some(waiting) = asking.take() else { return Poll::Pending };
            let Asking { answer, limit, mut inner, request, rules } = *waiting;
            let fate = rules.conclude(verdict.as_ref(), limit);
            let next = Course::of(fate, &mut inner, request, &rules, |inner| answer.then(inner));
            course.set(next);
        }
        match course.project() {
            CourseProj::Serving(inner) => {
                inner.poll(cx).map_ok(|response| response.map(ResponseBody::inner))
            }
            CourseProj::Telling { inner, rules, ruling } => {
                let mut response = ready!(inner.poll(cx))?;
                rules.mark_response(ruling, &mut response);
                Poll::Ready(Ok(response.map(ResponseBody::inner)))
            }
            CourseProj::Refused(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(*response)))
            }
            CourseProj::Asking(_) => Poll::Pending,
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
