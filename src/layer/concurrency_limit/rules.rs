//! What is decided of a request, and what follows.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{Request, Response};

use super::body::InFlightBody;
use crate::layer::client_key::{Extracted, Extraction};
use crate::layer::request_head::RequestHead;
use crate::respond::{Refusal, RefusalResponse};
use crate::store::concurrency::{Admission, ConcurrencyLimiter, Occupancy, Permit};

/// Nobody knows when a request will end: the shortest wait that can be told.
const RETRY: Duration = Duration::from_secs(1);

/// All that a layer was told.
pub(super) struct Rules<R> {
    pub(super) limiter: ConcurrencyLimiter,
    pub(super) clients: Extraction,
    pub(super) refusal: Arc<R>,
}

/// What becomes of a request.
pub(super) enum Fate {
    /// It goes on, counted or not.
    Pass(Option<Permit>),
    /// It is answered here.
    Refuse(Refusal, Option<Occupancy>),
}

/// What is to be done with a request.
pub(super) enum Step {
    Decided(Fate),
    /// Redis is asked first.
    Ask(BoxFuture<'static, Admission>),
}

impl<R> Rules<R> {
    /// The first step; everything that needs no answer of Redis is decided in it.
    pub(super) fn begin<B>(&self, request: &Request<B>) -> Step {
        let view = RequestHead::new(request);
        let subject = match self.clients.extract(&view) {
            Extracted::Subject(subject) => subject,
            Extracted::Uncounted => return Step::Decided(Fate::Pass(None)),
            Extracted::Keyless => return Step::Decided(Fate::Refuse(Refusal::no_key(), None)),
        };
        match self.limiter.at_hand(&subject) {
            Some(admission) => Step::Decided(Fate::of(admission)),
            None => {
                let limiter = self.limiter.clone();
                Step::Ask(Box::pin(async move { limiter.ask(&subject).await }))
            }
        }
    }

    /// Answers in place of the inner service.
    pub(super) fn refuse<B, ResBody>(
        &self,
        mut request: Request<B>,
        refusal: Refusal,
        occupancy: Option<Occupancy>,
    ) -> Response<InFlightBody<ResBody>>
    where
        R: RefusalResponse<ResBody>,
    {
        mark(request.extensions_mut(), occupancy);
        let response = self.refusal.refuse(&request.into_parts().0, refusal);
        let mut response = response.map(|body| InFlightBody::new(body, None));
        mark(response.extensions_mut(), occupancy);
        response.extensions_mut().insert(refusal);
        response
    }

    pub(super) fn with_refusal<Q>(&self, refusal: Arc<Q>) -> Rules<Q> {
        Rules { limiter: self.limiter.clone(), clients: self.clients.clone(), refusal }
    }
}

impl Fate {
    pub(super) fn of(admission: Admission) -> Self {
        match admission {
            Ok(permit) => Self::Pass(Some(permit)),
            Err(busy) => Self::Refuse(Refusal::rate_limited(Some(RETRY)), Some(busy.occupancy())),
        }
    }
}

/// Tells the handler, or who stands further out.
pub(super) fn mark(extensions: &mut http::Extensions, occupancy: Option<Occupancy>) {
    if let Some(occupancy) = occupancy {
        extensions.insert(occupancy);
    }
}

impl<R> Clone for Rules<R> {
    fn clone(&self) -> Self {
        self.with_refusal(Arc::clone(&self.refusal))
    }
}

impl<R> fmt::Debug for Rules<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("limiter", &self.limiter)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}
