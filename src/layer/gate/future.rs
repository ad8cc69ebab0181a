//! The response future of the layers that decide.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project::pin_project;

use super::disposition::Annotate;
use crate::health::{RequestBudget, WithBudget};
use crate::respond::ResponseBody;

/// The response future of a layer that decides about requests.
///
/// `F` is the inner service's future, `B` its body, and `A` makes the layer's decision known.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct GateFuture<F, B, A> {
    /// The question and the inner service together have one budget.
    #[pin]
    passage: WithBudget<Passage<F, B, A>>,
}

/// What a request goes through.
#[pin_project(project = PassageProj)]
pub(in crate::layer) enum Passage<F, B, A> {
    /// Redis is asked. Boxed, so that requests about which nobody is asked have no need of the
    /// room.
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "nobody asks Redis then"))]
    Asking(Pin<Box<dyn Future<Output = Self> + Send>>),
    /// The inner service works.
    Serving(#[pin] F),
    /// The inner service works, and its response makes the decision known. Apart from
    /// [`Serving`](Self::Serving), which is the commonest and 8 ns cheaper so.
    Annotating {
        #[pin]
        inner: F,
        applied: Option<A>,
    },
    /// It was answered in place of the inner service. Boxed, so that requests that pass have no
    /// need of the room for two responses.
    Refused(Option<Box<Refused<B, A>>>),
}

/// The answer in place of the inner service's.
pub(in crate::layer) struct Refused<B, A> {
    pub(super) response: Response<ResponseBody<B>>,
    pub(super) applied: Option<A>,
}

impl<F, B, A> GateFuture<F, B, A> {
    #[inline]
    pub(in crate::layer) fn new<E>(passage: Passage<F, B, A>) -> Self
    where
        F: Future<Output = Result<Response<B>, E>>,
        A: Annotate,
    {
        Self { passage: RequestBudget::scope(passage) }
    }
}

impl<F, B, A, E> Future for GateFuture<F, B, A>
where
    F: Future<Output = Result<Response<B>, E>>,
    A: Annotate,
{
    type Output = Result<Response<A::Body<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().passage.poll(cx)
    }
}

impl<F, B, A, E> Future for Passage<F, B, A>
where
    F: Future<Output = Result<Response<B>, E>>,
    A: Annotate,
{
    type Output = Result<Response<A::Body<B>>, E>;

    // Always: otherwise the response is moved once more on its way out (20 ns).
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let PassageProj::Asking(asking) = self.as_mut().project() {
            let rest = ready!(asking.as_mut().poll(cx));
            self.set(rest);
        }
        match self.project() {
            PassageProj::Serving(inner) => inner
                .poll(cx)
                .map_ok(|response| A::annotate_response(None, response.map(ResponseBody::inner))),
            PassageProj::Annotating { inner, applied } => {
                let response = ready!(inner.poll(cx))?;
                Poll::Ready(Ok(A::annotate_response(
                    applied.take(),
                    response.map(ResponseBody::inner),
                )))
            }
            PassageProj::Refused(refused) => {
                // Polled again after its end: like a future that never ends, not a panic.
                let Some(refused) = refused.take() else { return Poll::Pending };
                let Refused { response, applied } = *refused;
                Poll::Ready(Ok(A::annotate_response(applied, response)))
            }
            PassageProj::Asking(_) => Poll::Pending,
        }
    }
}

impl<F, B, A> fmt::Debug for GateFuture<F, B, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateFuture").finish_non_exhaustive()
    }
}
