//! Refuses revoked tokens.
//!
//! See [`RevocationLayer`].

mod future;
mod service;

use std::{fmt, sync::Arc};

use http::{Response, request::Parts};
use tower::Layer;

use crate::{
    respond::{Refusal, RefusalResponse, ResponseBody, StandardRefusal},
    store::revocation::{Decision, Revocations, Verdict},
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
/// use evenkeel::{layer::RevocationLayer, store::revocation::{Revocations, Token}};
/// use http::request::Parts;
///
/// /// What the authentication has verified.
/// #[derive(Clone)]
/// struct Claims { jti: String, sub: String, issued: std::time::SystemTime }
///
/// # fn demo(revocations: &Revocations) {
/// let layer = RevocationLayer::new(revocations, |request: &Parts| {
///     let claims = request.extensions.get::<Claims>()?;
///     Some(Token::new(&claims.jti).of(&claims.sub).issued_at(claims.issued))
/// });
/// # }
/// ```
///
/// | the token is | the answer | gRPC |
/// | --- | --- | --- |
/// | clear | the inner service's; the [`Decision`] is in the request's extensions | |
/// | revoked | 401 | 16 `UNAUTHENTICATED` |
/// | unknown, policy [`Closed`](crate::store::revocation::Policy::Closed) | 503 | 14 `UNAVAILABLE` |
/// | unknown, policy [`Open`](crate::store::revocation::Policy::Open) | the inner service's, and the `Decision` says so | |
///
/// The [`Refusal`] and the [`Decision`] are in the extensions of a response that refuses.
///
/// # Cost
///
/// A token that is known to be revoked, and any while Redis is away, is judged in memory, without I/O and without a boxed future. Another one
/// costs one round trip. Either way the `Decision` goes into [`http::Extensions`], which box every value.
///
/// # When Redis is down
///
/// See [`Revocations::check`].
pub struct RevocationLayer<F, R = StandardRefusal> {
    gate: Arc<Gate<R>>,
    token: Arc<F>,
}

struct Gate<R> {
    revocations: Revocations,
    refusal: Arc<R>,
}

impl<F> RevocationLayer<F> {
    /// Asks `revocations` about the token that `token` finds in a request.
    pub fn new(revocations: &Revocations, token: F) -> Self {
        let refusal = Arc::new(StandardRefusal);
        let gate = Gate { revocations: revocations.clone(), refusal };
        Self { gate: Arc::new(gate), token: Arc::new(token) }
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
        RevocationLayer { gate: Arc::new(gate), token: self.token }
    }
}

impl<R> Gate<R> {
    #[cold]
    fn refuse<B>(&self, request: &Parts, decision: Decision) -> Response<ResponseBody<B>>
    where
        R: RefusalResponse<B>,
    {
        let refusal = match decision.verdict {
            Verdict::Revoked => Refusal::revoked(),
            _ => Refusal::unavailable(self.revocations.monitor()),
        };
        let mut response = self.refusal.refuse(request, refusal);
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
        Self { gate: Arc::clone(&self.gate), token: Arc::clone(&self.token) }
    }
}

impl<F, R> fmt::Debug for RevocationLayer<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationLayer")
            .field("revocations", &self.gate.revocations)
            .finish_non_exhaustive()
    }
}
