//! The response future of the layers that decide.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project::pin_project;

use super::disposition::Note;
use crate::health::{RequestBudget, WithBudget};
use crate::respond::ResponseBody;

/// The response future of a layer that decides about requests.
///
/// `F` is the inner service's future, `B` its body, and `N` what the layer tells of its decisions.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct GateFuture<F, B, N> {
    /// The question and the inner service together have one budget.
    #[pin]
    passage: WithBudget<Passage<F, B, N>>,
}

/// What a request goes through.
#[pin_project(project = PassageProj)]
pub(in crate::layer) enum Passage<F, B, N> {
    /// Redis is asked. Boxed, so that requests about which nobody is asked have no need of the
    /// room.
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "nobody asks Redis then"))]
    Asking(Pin<Box<dyn Future<Output = Self> + Send>>),
    /// The inner service works.
    Serving(#[pin] F),
    /// The inner service works, and its response is to tell something. Apart from
    /// [`Serving`](Self::Serving), which is the commonest and 8 ns cheaper so.
    Noting {
        #[pin]
        inner: F,
        note: Option<N>,
    },
    /// It was answered in place of the inner service. Boxed, so that requests that pass have no
    /// need of the room for two responses.
    Refused(Option<Box<Refused<B, N>>>),
}

/// The answer in place of the inner service's, and what it is to tell.
pub(in crate::layer) struct Refused<B, N> {
    pub(super) response: Response<ResponseBody<B>>,
    pub(super) note: Option<N>,
}

impl<F, B, N> GateFuture<F, B, N> {
    #[inline]
    pub(in crate::layer) fn new<E>(passage: Passage<F, B, N>) -> Self
    where
        F: Future<Output = Result<Response<B>, E>>,
        N: Note,
    {
        Self { passage: RequestBudget::scope(passage) }
    }
}

impl<F, B, N, E> Future for GateFuture<F, B, N>
where
    F: Future<Output = Result<Response<B>, E>>,
    N: Note,
{
    type Output = Result<Response<N::Body<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().passage.poll(cx)
    }
}

impl<F, B, N, E> Future for Passage<F, B, N>
where
    F: Future<Output = Result<Response<B>, E>>,
    N: Note,
{
    type Output = Result<Response<N::Body<B>>, E>;

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
                .map_ok(|response| N::annotate_response(None, response.map(ResponseBody::inner))),
            PassageProj::Noting { inner, note } => {
                let response = ready!(inner.poll(cx))?;
                Poll::Ready(Ok(N::annotate_response(
                    note.take(),
                    response.map(ResponseBody::inner),
                )))
            }
            PassageProj::Refused(refused) => {
                // Polled again after its end: like a future that never ends, not a panic.
                let Some(refused) = refused.take() else { return Poll::Pending };
                let Refused { response, note } = *refused;
                Poll::Ready(Ok(N::annotate_response(note, response)))
            }
            PassageProj::Asking(_) => Poll::Pending,
        }
    }
}

impl<F, B, N> fmt::Debug for GateFuture<F, B, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateFuture").finish_non_exhaustive()
    }
}
