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

use super::body::InFlightBody;
use super::rules::{self, Fate, Rules};
use crate::health::{RequestBudget, WithBudget};
use crate::respond::{RefusalResponse, ResponseBody};
use crate::store::concurrency::{Admission, Permit};

/// The response future of [`ConcurrencyLimit`](super::ConcurrencyLimit).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ConcurrencyLimitFuture<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>>,
{
    #[pin]
    course: WithBudget<Course<S, ReqBody, ResBody, R>>,
}

/// What a request goes through.
#[pin_project(project = CourseProj)]
pub(super) enum Course<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>>,
{
    /// Redis is asked. Boxed, because what the store does has no name.
    Asking { answer: BoxFuture<'static, Admission>, waiting: Option<Box<Waiting<S, ReqBody, R>>> },
    /// The inner service works.
    Serving {
        #[pin]
        inner: S::Future,
        permit: Option<Permit>,
    },
    /// It was answered here.
    Refused(Option<Response<InFlightBody<ResBody>>>),
}

/// A request that waits for the answer, and the service that was ready for it.
pub(super) struct Waiting<S, ReqBody, R> {
    inner: S,
    request: Request<ReqBody>,
    rules: Arc<Rules<R>>,
}

impl<S, ReqBody, ResBody, R> Course<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    pub(super) fn asking(
        answer: BoxFuture<'static, Admission>,
        inner: S,
        request: Request<ReqBody>,
        rules: &Arc<Rules<R>>,
    ) -> Self {
        let waiting = Waiting { inner, request, rules: Arc::clone(rules) };
        Self::Asking { answer, waiting: Some(Box::new(waiting)) }
    }

    /// `inner` is ready.
    pub(super) fn of(
        fate: Fate,
        inner: &mut S,
        mut request: Request<ReqBody>,
        rules: &Rules<R>,
    ) -> Self {
        match fate {
            Fate::Pass(permit) => {
                rules::mark(request.extensions_mut(), permit.as_ref().map(Permit::occupancy));
                Self::Serving { inner: inner.call(request), permit }
            }
            Fate::Refuse(refusal, occupancy) => {
                Self::Refused(Some(rules.refuse(request, refusal, occupancy)))
            }
        }
    }
}

impl<S, ReqBody, ResBody, R> ConcurrencyLimitFuture<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    pub(super) fn new(course: Course<S, ReqBody, ResBody, R>) -> Self {
        Self { course: RequestBudget::give(course) }
    }
}

impl<S, ReqBody, ResBody, R> Future for ConcurrencyLimitFuture<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    type Output = Result<Response<InFlightBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().course.poll(cx)
    }
}

impl<S, ReqBody, ResBody, R> Future for Course<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    type Output = Result<Response<InFlightBody<ResBody>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                CourseProj::Asking { answer, waiting } => {
                    let admission = ready!(answer.as_mut().poll(cx));
                    // Polled again after its end: like a future that never ends, not a panic.
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    let Waiting { mut inner, request, rules } = *waiting;
                    Self::of(Fate::of(admission), &mut inner, request, &rules)
                }
                CourseProj::Serving { inner, permit } => {
                    let answer = ready!(inner.poll(cx));
                    // Where the inner service failed, the request is over.
                    let permit = permit.take();
                    let mut response = answer?;
                    rules::mark(response.extensions_mut(), permit.as_ref().map(Permit::occupancy));
                    return Poll::Ready(Ok(
                        response.map(|body| InFlightBody::new(ResponseBody::inner(body), permit))
                    ));
                }
                CourseProj::Refused(response) => {
                    return response
                        .take()
                        .map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
                }
            };
            self.set(next);
        }
    }
}

impl<S, ReqBody, ResBody, R> fmt::Debug for ConcurrencyLimitFuture<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimitFuture").finish_non_exhaustive()
    }
}
