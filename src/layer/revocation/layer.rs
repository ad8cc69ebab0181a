//! The layer that refuses revoked tokens, and its settings.

use std::fmt;
use std::sync::Arc;

use http::{Response, request::Parts};
use tower::Layer;

use super::rules::{Applied, RevocationRules};
use crate::layer::gate::{Config, Gate, GateFuture};
use crate::layer::request_head::RequestHead;
use crate::respond::{Refusal, StandardRefusal};
use crate::store::revocation::{Revocations, Token};

/// Refuses requests whose token is revoked, or cannot be judged.
///
/// `token` says which token a request carries: a closure that reads what an authentication further
/// out has left in the extensions, or the request itself. It does not verify signatures. A request
/// of which it returns `None` passes unchecked: whether a token is needed at all is not this
/// layer's to say.
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
/// | unknown, policy [`Closed`] | 503 | 14 `UNAVAILABLE` |
/// | unknown, policy [`Open`] | the inner service's, and the `RevocationDecision` says so | |
///
/// The [`Refusal`] and the [`RevocationDecision`] are in the extensions of a response that refuses.
///
/// # Cost
///
/// A token that is known to be revoked, and any while Redis is away, is judged in memory, without
/// I/O and without a boxed future. Another one costs one round trip. Either way the
/// `RevocationDecision` goes into [`http::Extensions`], which box every value;
/// [`without_extensions`](RevocationLayer::without_extensions) saves that.
///
/// # When Redis is down
///
/// See [`Revocations::check`].
///
/// [`RevocationDecision`]: crate::store::revocation::RevocationDecision
/// [`Closed`]: crate::store::revocation::UnknownPolicy::Closed
/// [`Open`]: crate::store::revocation::UnknownPolicy::Open
pub struct RevocationLayer<F, R = StandardRefusal> {
    config: Config<RevocationRules<F>, R>,
}

impl<F> RevocationLayer<F> {
    /// Asks `revocations` about the token that `token` finds in a request.
    pub fn new(revocations: &Revocations, token: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Option<Token>,
    {
        let (revocations, token) = (revocations.clone(), Arc::new(token));
        Self { config: Config::new(RevocationRules { revocations, token, extensions: true }) }
    }
}

impl<F, R> RevocationLayer<F, R> {
    /// Answers refused requests with what `refusal` returns, see
    /// [`RequireRedisLayer::with_refusal`](crate::layer::RequireRedisLayer::with_refusal).
    /// Default: [`StandardRefusal`].
    #[must_use]
    pub fn with_refusal<G, B>(self, refusal: G) -> RevocationLayer<F, G>
    where
        G: Fn(&Parts, Refusal) -> Response<B>,
    {
        RevocationLayer { config: self.config.with_refusal(refusal) }
    }

    /// Leaves the decision out of the extensions of requests that pass, when no handler reads it
    /// there. Default: it is in them.
    #[must_use]
    pub fn without_extensions(mut self) -> Self {
        self.config.rules_mut().extensions = false;
        self
    }
}

impl<S, F, R> Layer<S> for RevocationLayer<F, R> {
    type Service = Revocation<S, F, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate::new(inner, &self.config)
    }
}

impl<F, R> Clone for RevocationLayer<F, R> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone() }
    }
}

impl<F, R> fmt::Debug for RevocationLayer<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationLayer").field("rules", &self.config).finish()
    }
}

/// The service of [`RevocationLayer`].
pub type Revocation<S, F, R = StandardRefusal> = Gate<S, RevocationRules<F>, R>;

/// The response future of [`Revocation`].
pub type RevocationFuture<F, B> = GateFuture<F, B, Applied>;
