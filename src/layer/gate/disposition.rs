//! What becomes of a request, and what its response is told.

use std::convert::Infallible;

use http::{Extensions, Response};

use crate::respond::{Refusal, ResponseBody};

/// What becomes of a request. With a note, if anybody is to be told.
#[derive(Debug)]
#[cfg_attr(not(feature = "redis"), allow(unreachable_pub))]
pub enum Disposition<N> {
    /// The inner service answers.
    Pass(Option<N>),
    /// The layer answers in its place.
    Refuse(Refusal, Option<N>),
}

/// What a layer tells of its decision.
pub trait Note: Sized {
    /// The body of the layer's responses.
    type Body<B>;

    /// Tells the handler, or who makes the response of a refusal.
    fn annotate_request(&self, extensions: &mut Extensions);

    /// Tells the client, and the layers further out. Without a note only the body is wrapped.
    fn annotate_response<B>(
        note: Option<Self>,
        response: Response<ResponseBody<B>>,
    ) -> Response<Self::Body<B>>;
}

/// Of layers that tell nothing.
pub(in crate::layer) type NoNote = Infallible;

impl Note for NoNote {
    type Body<B> = ResponseBody<B>;

    fn annotate_request(&self, _: &mut Extensions) {}

    #[inline]
    fn annotate_response<B>(
        _: Option<Self>,
        response: Response<ResponseBody<B>>,
    ) -> Response<ResponseBody<B>> {
        response
    }
}
