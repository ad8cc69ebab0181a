//! What becomes of a request, and how the decision is made known.

use std::convert::Infallible;

use http::{Extensions, Response};

use crate::respond::{Refusal, ResponseBody};

/// What becomes of a request. `A` makes the decision known, where that is wanted.
#[derive(Debug)]
#[cfg_attr(not(feature = "redis"), allow(unreachable_pub))]
pub enum Disposition<A> {
    /// The inner service answers.
    Pass(Option<A>),
    /// The layer answers in its place.
    Refuse(Refusal, Option<A>),
}

/// Makes a decision known.
pub trait Annotate: Sized {
    /// The body of the layer's responses.
    type Body<B>;

    /// To the handler, or to the closure that makes the response of a refusal.
    fn annotate_request(&self, extensions: &mut Extensions);

    /// To the client, and to the layers further out. Without a decision to make known, only the
    /// body is wrapped.
    fn annotate_response<B>(
        applied: Option<Self>,
        response: Response<ResponseBody<B>>,
    ) -> Response<Self::Body<B>>;
}

/// For layers that make nothing known.
pub(in crate::layer) type Unannotated = Infallible;

impl Annotate for Unannotated {
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
