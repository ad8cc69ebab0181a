//! The response future.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use pin_project::pin_project;
use tower::Service;

use super::Gate;
use crate::{
    layer::course::{self, Course, Next, Note},
    respond::{RefusalResponse, ResponseBody},
    store::revocation::RevocationDecision,
};

/// The response future of [`Revocation`](super::Revocation).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct RevocationFuture<S: Service<Request<ReqBody>>, ReqBody, ResBody, R> {
    #[pin]
    pub(super) course: GateCourse<S, S::Future, ReqBody, ResBody, R>,
}

type GateCourse<S, F, ReqBody, ResBody, R> =
    Course<RevocationDecision, Waiting<S, ReqBody, R>, F, Untold, Response<ResponseBody<ResBody>>>;

/// A request that waits for the decision, and the service that was ready for it.
pub(super) struct Waiting<S, ReqBody, R> {
    pub(super) gate: Arc<Gate<R>>,
    pub(super) extensions: bool,
    pub(super) inner: S,
    pub(super) request: Request<ReqBody>,
}

/// Responses tell nothing of the decision.
pub(super) struct Untold(Infallible);

impl<R> Gate<R> {
    /// Carries a decision out; `inner` is ready.
    #[inline]
    pub(super) fn next<S, ReqBody, ResBody>(
        &self,
        decision: RevocationDecision,
        extensions: bool,
        inner: &mut S,
        mut request: Request<ReqBody>,
    ) -> Next<S::Future, Untold, Response<ResponseBody<ResBody>>>
    where
        S: Service<Request<ReqBody>>,
        R: RefusalResponse<ResBody>,
    {
        if !decision.is_admitted() {
            return Next::Refuse(self.refuse(request, decision));
        }
        if extensions {
            request.extensions_mut().insert(decision);
        }
        Next::Serve(inner.call(request), None)
    }
}

impl<S, ReqBody, ResBody, R>
    course::Waiting<RevocationDecision, S::Future, Untold, Response<ResponseBody<ResBody>>>
    for Waiting<S, ReqBody, R>
where
    S: Service<Request<ReqBody>>,
    R: RefusalResponse<ResBody>,
{
    fn go_on(
        mut self,
        decision: RevocationDecision,
    ) -> Next<S::Future, Untold, Response<ResponseBody<ResBody>>> {
        self.gate.next(decision, self.extensions, &mut self.inner, self.request)
    }
}

impl<ResBody> Note<Response<ResBody>> for Untold {
    type Response = Response<ResponseBody<ResBody>>;

    fn add_to(self, _: Response<ResBody>) -> Self::Response {
        match self.0 {}
    }

    #[inline]
    fn nothing(response: Response<ResBody>) -> Self::Response {
        response.map(ResponseBody::inner)
    }
}

impl<S, ReqBody, ResBody, R> Future for RevocationFuture<S, ReqBody, ResBody, R>
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

impl<S, ReqBody, ResBody, R> fmt::Debug for RevocationFuture<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationFuture").finish_non_exhaustive()
    }
}
