//! The service.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, request::Parts};
use tower::Service;

use super::{RevocationFuture, RevocationLayer, future::Stage};
use crate::{
    respond::{RefusalResponse, ResponseBody},
    store::revocation::Token,
};

/// The service of [`RevocationLayer`].
pub struct Revocation<S, F, R> {
    inner: S,
    layer: RevocationLayer<F, R>,
}

impl<S, F, R> Revocation<S, F, R> {
    pub(super) const fn new(inner: S, layer: RevocationLayer<F, R>) -> Self {
        Self { inner, layer }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, F, R, ReqBody, ResBody> Service<Request<ReqBody>> for Revocation<S, F, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    F: Fn(&Parts) -> Option<Token>,
    R: RefusalResponse<ResBody>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = RevocationFuture<S, ReqBody, ResBody, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let gate = &self.layer.gate;
        let Some(token) = (self.layer.token)(&parts) else {
            let passed = self.inner.call(Request::from_parts(parts, body));
            return RevocationFuture::new(Stage::Passed(passed));
        };
        let stage = match gate.revocations.check_here(&token) {
            Some(decision) if decision.is_admitted() => {
                parts.extensions.insert(decision);
                Stage::Passed(self.inner.call(Request::from_parts(parts, body)))
            }
            Some(decision) => Stage::Refused(Some(gate.refuse(&parts, decision))),
            None => {
                // The one that was polled ready waits with the request.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                let request = Request::from_parts(parts, body);
                Stage::asking(Arc::clone(gate), token, ready, request)
            }
        };
        RevocationFuture::new(stage)
    }
}

impl<S: Clone, F, R> Clone for Revocation<S, F, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, F, R> fmt::Debug for Revocation<S, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}
