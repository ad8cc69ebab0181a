//! The body of a response: it holds the permit, so that its request is in flight until it ends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use crate::respond::ResponseBody;
use crate::store::concurrency::Permit;

/// A response's body: as long as it lasts, its request is in flight.
#[pin_project]
#[derive(Debug)]
pub struct InFlightBody<B> {
    #[pin]
    body: ResponseBody<B>,
    permit: Option<Permit>,
}

impl<B> InFlightBody<B> {
    pub(super) const fn new(body: ResponseBody<B>, permit: Option<Permit>) -> Self {
        Self { body, permit }
    }
}

impl<B: Default> Default for InFlightBody<B> {
    fn default() -> Self {
        Self::new(ResponseBody::default(), None)
    }
}

impl<B> Body for InFlightBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        // Servers seldom ask again after the last frame.
        if !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            *this.permit = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
