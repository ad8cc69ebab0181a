//! What handlers, responses and clients are told of a decision.

use http::{Extensions, Response};

use super::headers::Headers;
use crate::layer::gate::Note;
use crate::respond::ResponseBody;
use crate::store::rate::RateVerdict;

/// A verdict in the form in which it is told. The headers are written when it is decided, so that
/// nothing that threads share has to be kept for as long as the request is served.
#[derive(Debug)]
pub struct Applied {
    /// For the extensions.
    pub(super) verdict: Option<RateVerdict>,
    pub(super) headers: Headers,
}

/// Boxed, since it is large and most of the way it is only carried.
impl Note for Box<Applied> {
    type Body<B> = ResponseBody<B>;

    #[inline]
    fn annotate_request(&self, extensions: &mut Extensions) {
        if let Some(verdict) = self.verdict {
            extensions.insert(verdict);
        }
    }

    #[inline]
    fn annotate_response<B>(
        note: Option<Self>,
        mut response: Response<ResponseBody<B>>,
    ) -> Response<ResponseBody<B>> {
        if let Some(applied) = note {
            let Applied { verdict, headers } = *applied;
            headers.insert_into(response.headers_mut());
            if let Some(verdict) = verdict {
                response.extensions_mut().insert(verdict);
            }
        }
        response
    }
}
