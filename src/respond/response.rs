//! The response of a refusal, in the form that the request asks for.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};

use super::{Refusal, RefusalKind, accept::prefers, grpc, json};

impl Refusal {
    /// The response, in the form that the request with these headers asks for (see the
    /// [module](crate::respond)). The refusal is in its extensions.
    ///
    /// For handlers and layers that refuse by themselves:
    ///
    /// ```
    /// # use evenkeel::{health::HealthMonitor, respond::Refusal};
    /// use http::{HeaderMap, Response};
    /// use http_body_util::Full;
    ///
    /// fn refuse(monitor: &HealthMonitor, request: &HeaderMap) -> Response<Full<bytes::Bytes>> {
    ///     Refusal::unavailable(monitor).response(request)
    /// }
    /// ```
    pub fn response<B: From<Bytes>>(self, request: &HeaderMap) -> Response<B> {
        let mut response = self.answer(request);
        response.extensions_mut().insert(self);
        response
    }

    /// The response, with nothing in its extensions.
    pub(super) fn answer<B: From<Bytes>>(self, request: &HeaderMap) -> Response<B> {
        if let Some(content_type) = grpc::asked_for(request) {
            grpc::trailers_only(self, content_type).map(B::from)
        } else if prefers(request, json::PROBLEM_TYPE) {
            self.http(json::PROBLEM_TYPE, json::problem(self)).map(B::from)
        } else {
            self.http(json::TYPE, json::plain(self)).map(B::from)
        }
    }

    fn http(self, content_type: &'static str, body: Vec<u8>) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.kind() == RefusalKind::Revoked {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
