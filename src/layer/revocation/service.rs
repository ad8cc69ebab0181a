//! The service.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::Service;

use super::{RevocationFuture, RevocationLayer, future::Stage};
use crate::{
    layer::RequestView,
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

    crate::inner::accessors!();
}

impl<S, F, R, ReqBody, ResBody> Service<Request<ReqBody>> for Revocation<S, F, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    F: Fn(&RequestView<'_>) -> Option<Token>,
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
    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let RevocationLayer { gate, token, extensions } = &self.layer;
        let Some(token) = token(&RequestView::new(&request)) else {
            return RevocationFuture::new(Stage::Passed(self.inner.call(request)));
        };
        RevocationFuture::new(match gate.revocations.check_here(&token) {
            Some(decision) if decision.is_admitted() => {
                if *extensions {
                    request.extensions_mut().insert(decision);
                }
                Stage::Passed(self.inner.call(request))
            }
            Some(decision) => Stage::refused(gate.refuse(request, decision)),
            None => {
                // The one that was polled ready waits with the request.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                Stage::asking(Arc::clone(gate), *extensions, token, ready, request)
            }
        })
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
