//! The response future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project::pin_project;
use tower::Service;

use super::body::InFlightBody;
use super::rules::{self, Fate, Rules};
use crate::layer::course::{self, Course, Next, Note};
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
    pub(super) course: LimitCourse<S, S::Future, ReqBody, ResBody, R>,
}

type LimitCourse<S, F, ReqBody, ResBody, R> =
    Course<Admission, Waiting<S, ReqBody, R>, F, Permit, Response<InFlightBody<ResBody>>>;

/// A request that waits for the answer, and the service that was ready for it.
pub(super) struct Waiting<S, ReqBody, R> {
    pub(super) inner: S,
    pub(super) request: Request<ReqBody>,
    pub(super) rules: Arc<Rules<R>>,
}

impl Fate {
    /// Carries it out; `inner` is ready.
    pub(super) fn next<S, ReqBody, ResBody, R>(
        self,
        inner: &mut S,
        mut request: Request<ReqBody>,
        rules: &Rules<R>,
    ) -> Next<S::Future, Permit, Response<InFlightBody<ResBody>>>
    where
        S: Service<Request<ReqBody>>,
        R: RefusalResponse<ResBody>,
    {
        match self {
            Self::Pass(permit) => {
                rules::mark(request.extensions_mut(), permit.as_ref().map(Permit::occupancy));
                Next::Serve(inner.call(request), permit)
            }
            Self::Refuse(refusal, occupancy) => {
                Next::Refuse(rules.refuse(request, refusal, occupancy))
            }
        }
    }
}

impl<S, ReqBody, ResBody, R>
    course::Waiting<Admission, S::Future, Permit, Response<InFlightBody<ResBody>>>
    for Waiting<S, ReqBody, R>
where
    S: Service<Request<ReqBody>>,
    R: RefusalResponse<ResBody>,
{
    fn go_on(
        mut self,
        admission: Admission,
    ) -> Next<S::Future, Permit, Response<InFlightBody<ResBody>>> {
        Fate::of(admission).next(&mut self.inner, self.request, &self.rules)
    }
}

/// The response tells of the permit, and its body holds it.
impl<ResBody> Note<Response<ResBody>> for Permit {
    type Response = Response<InFlightBody<ResBody>>;

    fn add_to(self, mut response: Response<ResBody>) -> Self::Response {
        rules::mark(response.extensions_mut(), Some(self.occupancy()));
        response.map(|body| InFlightBody::new(ResponseBody::inner(body), Some(self)))
    }

    fn nothing(response: Response<ResBody>) -> Self::Response {
        response.map(|body| InFlightBody::new(ResponseBody::inner(body), None))
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

impl<S, ReqBody, ResBody, R> fmt::Debug for ConcurrencyLimitFuture<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimitFuture").finish_non_exhaustive()
    }
}
