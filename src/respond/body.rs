//! The body of a response that may be a refusal.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project::pin_project;

/// The body of the inner service, or of a refusal.
///
/// It works with any inner body whose data can be made of [`Bytes`]; those of axum, hyper and tonic
/// are [`Bytes`].
#[pin_project]
#[derive(Debug, Clone)]
pub struct ResponseBody<B> {
    #[pin]
    inner: Inner<B>,
}

#[pin_project(project = InnerProj)]
#[derive(Debug, Clone)]
enum Inner<B> {
    Refusal(#[pin] Full<Bytes>),
    Body(#[pin] B),
}

impl<B> ResponseBody<B> {
    pub(crate) const fn inner(body: B) -> Self {
        Self { inner: Inner::Body(body) }
    }
}

impl<B> From<Bytes> for ResponseBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self { inner: Inner::Refusal(Full::new(bytes)) }
    }
}

impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::inner(B::default())
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().inner.project() {
            InnerProj::Body(body) => body.poll_frame(cx),
            InnerProj::Refusal(body) => body
                .poll_frame(cx)
                .map(|frame| frame.map(|Ok(frame)| Ok(frame.map_data(B::Data::from)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Body(body) => body.is_end_stream(),
            Inner::Refusal(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Body(body) => body.size_hint(),
            Inner::Refusal(body) => body.size_hint(),
        }
    }
}
