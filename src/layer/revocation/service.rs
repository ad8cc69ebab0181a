//! The service.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::Service;

use super::{RevocationFuture, RevocationLayer, future::Waiting};
use crate::{
    layer::{
        RequestHead,
        course::{Course, take_ready},
    },
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

    crate::accessors::accessors!();
}

impl<S, F, R, ReqBody, ResBody> Service<Request<ReqBody>> for Revocation<S, F, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    F: Fn(&RequestHead<'_>) -> Option<Token>,
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
        let RevocationLayer { gate, token, extensions } = &self.layer;
        let Some(token) = token(&RequestHead::new(&request)) else {
            return RevocationFuture { course: Course::serve(self.inner.call(request)) };
        };
        let course = match gate.revocations.check_local(&token) {
            Some(decision) => gate.next(decision, *extensions, &mut self.inner, request).begin(),
            None => {
                let revocations = gate.revocations.clone();
                let answer = Box::pin(async move { revocations.check_redis(&token).await });
                let (gate, extensions) = (Arc::clone(gate), *extensions);
                let inner = take_ready(&mut self.inner);
                Course::ask(answer, Waiting { gate, extensions, inner, request })
            }
        };
        RevocationFuture { course }
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
