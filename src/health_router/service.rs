//! The router as a service by itself.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::Service;

use super::{HealthBody, HealthRouter, answer::Answer};

/// The future of [`HealthRouter`].
#[must_use = "futures do nothing unless polled"]
pub struct HealthFuture(Answer);

impl Future for HealthFuture {
    type Output = Result<Response<HealthBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| Ok(answer.map(HealthBody::from)))
    }
}

impl fmt::Debug for HealthFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthFuture").finish_non_exhaustive()
    }
}

/// Alone, other paths get 404.
impl<B> Service<Request<B>> for HealthRouter {
    type Response = Response<HealthBody>;
    type Error = Infallible;
    type Future = HealthFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> HealthFuture {
        let (parts, _) = request.into_parts();
        HealthFuture(self.answer(&parts))
    }
}
