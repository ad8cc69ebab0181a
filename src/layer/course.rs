//! What a request goes through in a layer that may have to ask Redis about it: it waits for the answer, is served, or is
//! answered in place of the inner service.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use pin_project::pin_project;

use crate::health::{RequestBudget, WithBudget};

/// The course of one request, under one [budget](RequestBudget): `A` is what Redis says, `W` what waits for it, `F` the
/// inner service's future, `N` what its response is to tell, and `R` the layer's own response.
#[pin_project(project = CourseProj)]
pub(super) enum Course<A, W, F, N, R> {
    /// Redis is asked. Boxed, so that those about whom nobody is asked do not carry the room for it.
    Asking(Option<Box<Asking<A, W>>>),
    /// The inner service works.
    Serving(#[pin] WithBudget<F>),
    /// The inner service works, and its response is to tell something. Apart from [`Serving`](Self::Serving), which is
    /// the commonest and 8 ns cheaper so.
    Noting {
        #[pin]
        inner: WithBudget<F>,
        note: Option<N>,
    },
    /// It was answered here. Boxed, so that those who pass do not carry the room for two responses.
    Refused(Option<Box<R>>),
}

pub(super) struct Asking<A, W> {
    answer: WithBudget<BoxFuture<'static, A>>,
    waiting: W,
}

/// The one that was polled ready, for the request at hand; the next request is served by its clone.
pub(super) fn take_ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    mem::replace(inner, clone)
}

/// A request that waits for an answer, and the service that was ready for it.
pub(super) trait Waiting<A, F, N, R> {
    fn go_on(self, answer: A) -> Next<F, N, R>;
}

/// What becomes of a request about which all is known.
pub(super) enum Next<F, N, R> {
    Serve(F, Option<N>),
    Refuse(R),
}

/// Something that a response is to tell.
pub(super) trait Note<T> {
    /// The layer's own kind of response.
    type Response;

    fn add_to(self, response: T) -> Self::Response;

    /// A response that has nothing to tell.
    fn nothing(response: T) -> Self::Response;
}

impl<A, W, F, N, R> Course<A, W, F, N, R> {
    pub(super) fn ask(answer: BoxFuture<'static, A>, waiting: W) -> Self {
        let answer = RequestBudget::scope(answer);
        Self::Asking(Some(Box::new(Asking { answer, waiting })))
    }

    #[inline]
    pub(super) fn serve(inner: F) -> Self
    where
        F: Future,
    {
        Self::Serving(RequestBudget::scope(inner))
    }
}

impl<F, N, R> Next<F, N, R> {
    /// The course from here on, with the budget that `give` gives.
    fn course<A, W>(self, give: impl FnOnce(F) -> WithBudget<F>) -> Course<A, W, F, N, R> {
        match self {
            Self::Serve(inner, None) => Course::Serving(give(inner)),
            Self::Serve(inner, note) => Course::Noting { inner: give(inner), note },
            Self::Refuse(response) => Course::Refused(Some(Box::new(response))),
        }
    }

    /// The course of a request about which nobody was asked.
    pub(super) fn begin<A, W>(self) -> Course<A, W, F, N, R>
    where
        F: Future,
    {
        self.course(RequestBudget::scope)
    }
}

impl<A, W, F, N, T, E> Future for Course<A, W, F, N, N::Response>
where
    W: Waiting<A, F, N, N::Response>,
    F: Future<Output = Result<T, E>>,
    N: Note<T>,
{
    type Output = Result<N::Response, E>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let CourseProj::Asking(asking) = self.as_mut().project() {
            // Polled again after its end, here and below: like a future that never ends, not a panic.
            let Some(asked) = asking else { return Poll::Pending };
            let said = ready!(Pin::new(&mut asked.answer).poll(cx));
            let Some(asked) = asking.take() else { return Poll::Pending };
            let Asking { answer, waiting } = *asked;
            self.set(waiting.go_on(said).course(|inner| answer.transfer(inner)));
        }
        match self.project() {
            CourseProj::Serving(inner) => inner.poll(cx).map_ok(N::nothing),
            CourseProj::Noting { inner, note } => {
                let response = ready!(inner.poll(cx));
                note.take().map_or(Poll::Pending, |note| {
                    Poll::Ready(response.map(|response| note.add_to(response)))
                })
            }
            CourseProj::Refused(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(*response)))
            }
            CourseProj::Asking(_) => Poll::Pending,
        }
    }
}
