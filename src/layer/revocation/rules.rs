//! The decision: which token is asked about, and what follows from the answer.

use std::fmt;
use std::sync::Arc;

use http::{Extensions, Response};

use crate::layer::gate::{Annotate, Decide, Disposition};
use crate::layer::request_head::RequestHead;
use crate::respond::{Refusal, ResponseBody};
use crate::store::Step;
use crate::store::revocation::{RevocationDecision, RevocationStatus, Revocations, Token};

/// The settings of a layer. `F` finds the token of a request.
pub struct RevocationRules<F> {
    pub(super) revocations: Revocations,
    pub(super) token: Arc<F>,
    pub(super) extensions: bool,
}

impl<F> Decide for RevocationRules<F>
where
    F: Fn(&RequestHead<'_>) -> Option<Token> + Send + Sync + 'static,
{
    /// Is this token revoked?
    type Question = Token;
    type Applied = Applied;

    #[inline]
    fn decide(&self, head: &RequestHead<'_>) -> Step<Disposition<Applied>, Token> {
        let Some(token) = (self.token)(head) else {
            return Step::Decided(Disposition::Pass(None));
        };
        match self.revocations.check_local(&token) {
            Some(decision) => Step::Decided(self.conclude(decision)),
            None => Step::Ask(token),
        }
    }

    async fn ask(&self, token: Token) -> Disposition<Applied> {
        self.conclude(self.revocations.check_redis(&token).await)
    }
}

impl<F> RevocationRules<F> {
    #[inline]
    fn conclude(&self, decision: RevocationDecision) -> Disposition<Applied> {
        if decision.is_admitted() {
            return Disposition::Pass(self.extensions.then_some(Applied(decision)));
        }
        let refusal = match decision.status {
            RevocationStatus::Revoked => Refusal::revoked(),
            _ => Refusal::unavailable(self.revocations.monitor()),
        };
        Disposition::Refuse(refusal, Some(Applied(decision)))
    }
}

impl<F> Clone for RevocationRules<F> {
    fn clone(&self) -> Self {
        let (revocations, token) = (self.revocations.clone(), Arc::clone(&self.token));
        Self { revocations, token, extensions: self.extensions }
    }
}

impl<F> fmt::Debug for RevocationRules<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationRules")
            .field("revocations", &self.revocations)
            .finish_non_exhaustive()
    }
}

/// A decision: it goes into the extensions.
#[derive(Debug)]
pub struct Applied(RevocationDecision);

impl Annotate for Applied {
    type Body<B> = ResponseBody<B>;

    #[inline]
    fn annotate_request(&self, extensions: &mut Extensions) {
        extensions.insert(self.0);
    }

    #[inline]
    fn annotate_response<B>(
        applied: Option<Self>,
        mut response: Response<ResponseBody<B>>,
    ) -> Response<ResponseBody<B>> {
        // When a request has passed, only the handler knows of the decision.
        if let Some(Self(decision)) = applied.filter(|applied| !applied.0.is_admitted()) {
            response.extensions_mut().insert(decision);
        }
        response
    }
}
