//! What makes a decision known: the verdict in the extensions, and the headers.

use http::{Extensions, Response};

use super::headers::Headers;
use crate::layer::gate::Annotate;
use crate::respond::ResponseBody;
use crate::store::rate::RateVerdict;

/// A verdict and its headers. The headers are written when it is decided: the rules and the policy
/// are shared by all threads, and to keep them for as long as the request is served, each request
/// would change their reference counts.
#[derive(Debug)]
pub struct Applied {
    /// For the extensions.
    pub(super) verdict: Option<RateVerdict>,
    pub(super) headers: Headers,
}

/// Boxed, since it is large and most of the way it is only carried.
impl Annotate for Box<Applied> {
    type Body<B> = ResponseBody<B>;

    #[inline]
    fn annotate_request(&self, extensions: &mut Extensions) {
        if let Some(verdict) = self.verdict {
            extensions.insert(verdict);
        }
    }

    #[inline]
    fn annotate_response<B>(
        applied: Option<Self>,
        mut response: Response<ResponseBody<B>>,
    ) -> Response<ResponseBody<B>> {
        if let Some(applied) = applied {
            let Applied { verdict, headers } = *applied;
            headers.insert_into(response.headers_mut());
            if let Some(verdict) = verdict {
                response.extensions_mut().insert(verdict);
            }
        }
        response
    }
}
