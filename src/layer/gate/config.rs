//! The rules of a layer and how it refuses: shared by the layer, its clones and its services.

use std::fmt;
use std::sync::Arc;

use http::{Request, Response};
use tower::Service;

use super::disposition::{Annotate, Disposition};
use super::future::{Passage, Refused};
use crate::respond::{Refusal, RefusalResponse, ResponseBody, StandardRefusal};

/// The rules `D`, and `R`, which makes the responses of refused requests. One reference count,
/// since frameworks clone a service for each request.
pub(in crate::layer) struct Config<D, R>(Arc<Shared<D, R>>);

struct Shared<D, R> {
    rules: D,
    refusal: Arc<R>,
}

impl<D> Config<D, StandardRefusal> {
    pub(in crate::layer) fn new(rules: D) -> Self {
        Self(Arc::new(Shared { rules, refusal: Arc::new(StandardRefusal) }))
    }
}

impl<D, R> Config<D, R> {
    #[inline]
    pub(in crate::layer) fn rules(&self) -> &D {
        &self.0.rules
    }

    /// For the methods that set something: where services have been made already, they keep theirs.
    pub(in crate::layer) fn rules_mut(&mut self) -> &mut D
    where
        D: Clone,
    {
        &mut Arc::make_mut(&mut self.0).rules
    }

    pub(in crate::layer) fn with_refusal<Q>(self, refusal: Q) -> Config<D, Q>
    where
        D: Clone,
    {
        Config(Arc::new(Shared { rules: self.0.rules.clone(), refusal: Arc::new(refusal) }))
    }

    /// Carries a disposition out; `inner` is ready.
    #[inline]
    pub(in crate::layer) fn apply<S, ReqBody, ResBody, A>(
        &self,
        disposition: Disposition<A>,
        inner: &mut S,
        mut request: Request<ReqBody>,
    ) -> Passage<S::Future, ResBody, A>
    where
        S: Service<Request<ReqBody>>,
        R: RefusalResponse<ResBody>,
        A: Annotate,
    {
        match disposition {
            Disposition::Pass(None) => Passage::Serving(inner.call(request)),
            Disposition::Pass(Some(applied)) => {
                applied.annotate_request(request.extensions_mut());
                Passage::Annotating { inner: inner.call(request), applied: Some(applied) }
            }
            Disposition::Refuse(refusal, applied) => {
                let response = self.refuse(request, refusal, applied.as_ref());
                Passage::Refused(Some(Box::new(Refused { response, applied })))
            }
        }
    }

    /// Answers in place of the inner service.
    #[cold]
    fn refuse<ReqBody, ResBody, A>(
        &self,
        mut request: Request<ReqBody>,
        refusal: Refusal,
        applied: Option<&A>,
    ) -> Response<ResponseBody<ResBody>>
    where
        R: RefusalResponse<ResBody>,
        A: Annotate,
    {
        if let Some(applied) = applied {
            applied.annotate_request(request.extensions_mut());
        }
        let mut response = self.0.refusal.refuse(&request.into_parts().0, refusal);
        response.extensions_mut().insert(refusal);
        response
    }
}

impl<D: Clone, R> Clone for Shared<D, R> {
    fn clone(&self) -> Self {
        Self { rules: self.rules.clone(), refusal: Arc::clone(&self.refusal) }
    }
}

impl<D, R> Clone for Config<D, R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: fmt::Debug, R> fmt::Debug for Config<D, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.rules.fmt(f)
    }
}
