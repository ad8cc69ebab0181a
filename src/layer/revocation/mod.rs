//! Refuses revoked tokens.
//!
//! See [`RevocationLayer`].

mod future;
mod service;

use std::{fmt, sync::Arc};

use http::{Request, Response, request::Parts};
use tower::Layer;

use crate::{
    layer::RequestHead,
    respond::{Refusal, RefusalResponse, ResponseBody, StandardRefusal},
    store::revocation::{RevocationDecision, RevocationStatus, Revocations, Token},
};

pub use future::RevocationFuture;
pub use service::Revocation;

/// Refuses requests whose token is revoked, or cannot be judged.
///
/// `token` says which token a request carries: a closure that reads what an authentication further out has left in the
/// extensions, or the request itself. It does not verify signatures. A request of which it returns `None` passes unchecked:
/// whether a token is needed at all is not this layer's to say.
///
/// ```
/// use evenkeel::{layer::{RequestHead, RevocationLayer}, store::revocation::{Revocations, Token}};
///
/// /// What the authentication has verified.
/// #[derive(Clone)]
/// struct Claims { jti: String, sub: String, issued: std::time::SystemTime }
///
/// # fn demo(revocations: &Revocations) {
/// let layer = RevocationLayer::new(revocations, |request: &RequestHead| {
///     let claims = request.extensions.get::<Claims>()?;
///     Some(Token::new(&claims.jti).of(&claims.sub).issued_at(claims.issued))
/// });
/// # }
/// ```
///
/// | the token is | the answer | gRPC |
/// | --- | --- | --- |
/// | clear | the inner service's; the [`RevocationDecision`] is in the request's extensions | |
/// | revoked | 401 | 16 `UNAUTHENTICATED` |
/// | unknown, policy [`Closed`](crate::store::revocation::UnknownPolicy::Closed) | 503 | 14 `UNAVAILABLE` |
/// | unknown, policy [`Open`](crate::store::revocation::UnknownPolicy::Open) | the inner service's, and the `RevocationDecision` says so | |
///
/// The [`Refusal`] and the [`RevocationDecision`] are in the extensions of a response that refuses.
///
/// # Cost
///
/// A token that is known to be revoked, and any while Redis is away, is judged in memory, without I/O and without a boxed future. Another one
/// costs one round trip. Either way the `RevocationDecision` goes into [`http::Extensions`], which box every value;
/// [`without_extensions`](RevocationLayer::without_extensions) saves that.
///
/// # When Redis is down
///
/// See [`Revocations::check`].
pub struct RevocationLayer<F, R = StandardRefusal> {
    gate: Arc<Gate<R>>,
    token: Arc<F>,
    extensions: bool,
}

struct Gate<R> {
    revocations: Revocations,
    refusal: Arc<R>,
}

impl<F> RevocationLayer<F> {
    /// Asks `revocations` about the token that `token` finds in a request.
    pub fn new(revocations: &Revocations, token: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Option<Token>,
    {
        let refusal = Arc::new(StandardRefusal);
        let gate = Gate { revocations: revocations.clone(), refusal };
        Self { gate: Arc::new(gate), token: Arc::new(token), extensions: true }
    }
}

impl<F, R> RevocationLayer<F, R> {
    /// Answers refused requests with what `refusal` returns, see
    /// [`RequireRedisLayer::with_refusal`](super::RequireRedisLayer::with_refusal). By default [`StandardRefusal`].
    #[must_use]
    pub fn with_refusal<G, B>(self, refusal: G) -> RevocationLayer<F, G>
    where
        G: Fn(&Parts, Refusal) -> Response<B>,
    {
        let revocations = self.gate.revocations.clone();
        let gate = Gate { revocations, refusal: Arc::new(refusal) };
        RevocationLayer { gate: Arc::new(gate), token: self.token, extensions: self.extensions }
    }

    /// Leaves the decision out of the extensions of requests that pass, when no handler reads it there. By default it is in
    /// them.
    #[must_use]
    pub fn without_extensions(mut self) -> Self {
        self.extensions = false;
        self
    }
}

impl<R> Gate<R> {
    #[cold]
    fn refuse<B, ReqBody>(
        &self,
        request: Request<ReqBody>,
        decision: RevocationDecision,
    ) -> Response<ResponseBody<B>>
    where
        R: RefusalResponse<B>,
    {
        let refusal = match decision.status {
            RevocationStatus::Revoked => Refusal::revoked(),
            _ => Refusal::unavailable(self.revocations.monitor()),
        };
        let mut response = self.refusal.refuse(&request.into_parts().0, refusal);
        response.extensions_mut().insert(refusal);
        response.extensions_mut().insert(decision);
        response
    }
}

impl<S, F, R> Layer<S> for RevocationLayer<F, R> {
    type Service = Revocation<S, F, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Revocation::new(inner, self.clone())
    }
}

impl<F, R> Clone for RevocationLayer<F, R> {
    fn clone(&self) -> Self {
        let (gate, token) = (Arc::clone(&self.gate), Arc::clone(&self.token));
        Self { gate, token, extensions: self.extensions }
    }
}

impl<F, R> fmt::Debug for RevocationLayer<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationLayer")
            .field("revocations", &self.gate.revocations)
            .finish_non_exhaustive()
    }
}
