//! The response future.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use pin_project::pin_project;
use tower::Service;

use super::Gate;
use crate::{
    health::{RequestBudget, WithBudget},
    respond::{RefusalResponse, ResponseBody},
    store::revocation::{Decision, Token},
};

/// The response future of [`Revocation`](super::Revocation).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct RevocationFuture<S: Service<Request<ReqBody>>, ReqBody, ResBody, R> {
    #[pin]
    stages: WithBudget<Stages<S, ReqBody, ResBody, R>>,
}

#[pin_project]
struct Stages<S: Service<Request<ReqBody>>, ReqBody, ResBody, R> {
    #[pin]
    stage: Stage<S, S::Future, ReqBody, ResBody, R>,
}

#[pin_project(project = StageProj)]
pub(super) enum Stage<S, F, ReqBody, ResBody, R> {
    /// Boxed: what needs no I/O does not carry room for it.
    Asking {
        check: BoxFuture<'static, Decision>,
        waiting: Option<Box<Waiting<S, ReqBody, R>>>,
    },
    Passed(#[pin] F),
    Refused(Option<Response<ResponseBody<ResBody>>>),
}

/// What goes on when Redis has answered.
pub(super) struct Waiting<S, ReqBody, R> {
    gate: Arc<Gate<R>>,
    ready: S,
    request: Request<ReqBody>,
}

impl<S, F, ReqBody, ResBody, R> Stage<S, F, ReqBody, ResBody, R> {
    pub(super) fn asking(
        gate: Arc<Gate<R>>,
        token: Token,
        ready: S,
        request: Request<ReqBody>,
    ) -> Self {
        let revocations = gate.revocations.clone();
        let check = Box::pin(async move { revocations.check_redis(&token).await });
        Self::Asking { check, waiting: Some(Box::new(Waiting { gate, ready, request })) }
    }
}

impl<S, ReqBody, ResBody, R> RevocationFuture<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    #[inline]
    pub(super) fn new(stage: Stage<S, S::Future, ReqBody, ResBody, R>) -> Self {
        Self { stages: RequestBudget::give(Stages { stage }) }
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
        self.project().stages.poll(cx)
    }
}

impl<S, ReqBody, ResBody, R> Future for Stages<S, ReqBody, ResBody, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RefusalResponse<ResBody>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut this = self.as_mut().project();
            let next = match this.stage.as_mut().project() {
                StageProj::Asking { check, waiting } => {
                    let decision = ready!(check.as_mut().poll(cx));
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    let Waiting { gate, mut ready, mut request } = *waiting;
                    if decision.is_admitted() {
                        request.extensions_mut().insert(decision);
                        Stage::Passed(ready.call(request))
                    } else {
                        let parts = request.into_parts().0;
                        Stage::Refused(Some(gate.refuse(&parts, decision)))
                    }
                }
                StageProj::Passed(inner) => {
                    return Poll::Ready(Ok(ready!(inner.poll(cx))?.map(ResponseBody::inner)));
                }
                // Polled again after its end: like a future that never ends, not a panic.
                StageProj::Refused(response) => {
                    return response
                        .take()
                        .map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
                }
            };
            this.stage.set(next);
        }
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
