//! Who makes the response of a refusal: this crate, or a closure of the user's.

use http::{Response, request::Parts};

use super::{Refusal, ResponseBody};

/// Makes the response of a refusal, round a service whose body is `B`.
///
/// Implemented by [`StandardRefusal`] and by every `Fn(&Parts, Refusal) -> Response<B>`. The layer
/// puts the [`Refusal`] in the response's extensions afterwards, whoever made it.
pub trait RefusalResponse<B> {
    /// The response to the request with these parts.
    fn refuse(&self, request: &Parts, refusal: Refusal) -> Response<ResponseBody<B>>;
}

/// The refusals that the [module](crate::respond) describes.
#[derive(Debug, Clone, Copy, Default)]
pub struct StandardRefusal;

impl<B> RefusalResponse<B> for StandardRefusal {
    fn refuse(&self, request: &Parts, refusal: Refusal) -> Response<ResponseBody<B>> {
        refusal.answer(&request.headers)
    }
}

impl<F, B> RefusalResponse<B> for F
where
    F: Fn(&Parts, Refusal) -> Response<B>,
{
    fn refuse(&self, request: &Parts, refusal: Refusal) -> Response<ResponseBody<B>> {
        self(request, refusal).map(ResponseBody::inner)
    }
}
