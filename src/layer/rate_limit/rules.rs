//! What is decided of a request: by whom, on which policy, and what follows.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{Request, Response};

use super::headers::HeaderStyle;
use super::options::OutagePolicy;
use crate::layer::client_key::{Extracted, Extraction};
use crate::layer::request_head::RequestHead;
use crate::respond::{Refusal, RefusalResponse, ResponseBody};
use crate::store::rate::{Policy, RateLimiter, Retry, Subject, Tally, Verdict};

type PolicyFn = dyn Fn(&RequestHead<'_>) -> Policy + Send + Sync;
type CostFn = dyn Fn(&RequestHead<'_>) -> u32 + Send + Sync;

/// A policy and its counters.
#[derive(Clone)]
pub(super) struct Limit {
    policy: Policy,
    tally: Arc<Tally>,
}

impl Limit {
    pub(super) fn new(limiter: &RateLimiter, policy: Policy) -> Self {
        Self { tally: limiter.tally(&policy), policy }
    }
}

/// All that a layer was told. What each request may choose is boxed; what is the same for all is at hand.
pub(super) struct Rules<R> {
    pub(super) limiter: RateLimiter,
    pub(super) limit: Limit,
    pub(super) limit_for: Option<Arc<PolicyFn>>,
    pub(super) clients: Extraction,
    pub(super) cost: u32,
    pub(super) cost_for: Option<Arc<CostFn>>,
    pub(super) outage: OutagePolicy,
    pub(super) headers: HeaderStyle,
    pub(super) shadow: bool,
    pub(super) extensions: bool,
    pub(super) refusal: Arc<R>,
}

/// A verdict, and the policy that it is on unless that is the layer's own.
pub(super) struct Ruling {
    verdict: Verdict,
    limit: Option<Limit>,
}

/// What becomes of a request. With the ruling, if anybody is to be told: boxed, since it is large and most of the way it
/// is only carried.
pub(super) enum Fate {
    /// It goes on.
    Pass(Option<Box<Ruling>>),
    /// It is answered here.
    Refuse(Refusal, Option<Box<Ruling>>),
}

/// What is to be done with a request.
pub(super) enum Step {
    Decided(Fate),
    /// Redis is asked first.
    Ask(BoxFuture<'static, Option<Verdict>>, Option<Limit>),
}

impl<R> Rules<R> {
    /// The first step; everything that needs no answer of Redis is decided in it.
    #[inline]
    pub(super) fn begin<B>(&self, request: &Request<B>) -> Step {
        let view = RequestHead::new(request);
        let extracted = self.clients.extract(&view);
        // Borrowed from where it was made: moving it costs more than hashing it.
        let subject = match &extracted {
            Extracted::Subject(subject) => subject,
            Extracted::Uncounted => return Step::Decided(Fate::Pass(None)),
            Extracted::Keyless => return Step::Decided(Fate::Refuse(Refusal::no_key(), None)),
        };
        let cost = self.cost_for.as_ref().map_or(self.cost, |cost| cost(&view));
        let chosen = self.limit_for.as_ref().map(|limit| Limit::new(&self.limiter, limit(&view)));
        let policy = &chosen.as_ref().unwrap_or(&self.limit).policy;
        let now = self.limiter.now();
        if let Some(verdict) = self.limiter.at_hand(policy, subject, now, cost) {
            return Step::Decided(self.conclude(Some(&verdict), chosen));
        }
        if self.limiter.is_up() {
            return Step::Ask(self.ask(policy.clone(), subject.clone(), now, cost), chosen);
        }
        let verdict = self.outage.verdict(&self.limiter, policy, subject, now, cost);
        Step::Decided(self.conclude(verdict.as_ref(), chosen))
    }

    fn ask(
        &self,
        policy: Policy,
        subject: Subject,
        now: u64,
        cost: u32,
    ) -> BoxFuture<'static, Option<Verdict>> {
        let (limiter, outage) = (self.limiter.clone(), self.outage);
        Box::pin(async move {
            match limiter.ask(&policy, &subject, now, cost).await {
                Some(verdict) => Some(verdict),
                None => outage.verdict(&limiter, &policy, &subject, limiter.now(), cost),
            }
        })
    }

    /// The last step: counts the verdict, and acts on it. No verdict: Redis is away, and nobody else may decide.
    #[inline(always)]
    pub(super) fn conclude(&self, verdict: Option<&Verdict>, limit: Option<Limit>) -> Fate {
        let Some(verdict) = verdict else {
            let monitor = self.limiter.monitor();
            monitor.request_probe();
            return Fate::Refuse(Refusal::unavailable(monitor), None);
        };
        limit.as_ref().unwrap_or(&self.limit).tally.count(verdict, self.shadow);
        let told = self.extensions || (self.headers != HeaderStyle::None && !self.shadow);
        let ruling = told.then(|| Box::new(Ruling { verdict: *verdict, limit }));
        match verdict.retry() {
            Some(_) if self.shadow => Fate::Pass(ruling),
            None => Fate::Pass(ruling),
            Some(Retry::After(wait)) => Fate::Refuse(Refusal::rate_limited(Some(wait)), ruling),
            Some(Retry::Never) => Fate::Refuse(Refusal::rate_limited(None), ruling),
        }
    }

    /// Tells the handler.
    #[inline]
    pub(super) fn mark_request<B>(&self, ruling: &Ruling, request: &mut Request<B>) {
        if self.extensions {
            request.extensions_mut().insert(ruling.verdict);
        }
    }

    /// Tells the client, and who stands further out.
    #[inline]
    pub(super) fn mark_response<B>(&self, ruling: &Ruling, response: &mut Response<B>) {
        let Ruling { verdict, limit } = ruling;
        if !self.shadow {
            let policy = &limit.as_ref().unwrap_or(&self.limit).policy;
            policy.with_share(verdict.instances(), |share| {
                self.headers.apply(share, verdict, response.headers_mut());
            });
        }
        if self.extensions {
            response.extensions_mut().insert(*verdict);
        }
    }

    /// Answers in place of the inner service.
    #[inline(never)]
    pub(super) fn refuse<B, ResBody>(
        &self,
        mut request: Request<B>,
        refusal: Refusal,
        ruling: Option<&Ruling>,
    ) -> Response<ResponseBody<ResBody>>
    where
        R: RefusalResponse<ResBody>,
    {
        if let Some(ruling) = ruling {
            self.mark_request(ruling, &mut request);
        }
        let mut response = self.refusal.refuse(&request.into_parts().0, refusal);
        if let Some(ruling) = ruling {
            self.mark_response(ruling, &mut response);
        }
        response.extensions_mut().insert(refusal);
        response
    }
}

impl<R> Clone for Rules<R> {
    fn clone(&self) -> Self {
        self.with_refusal(Arc::clone(&self.refusal))
    }
}

impl<R> Rules<R> {
    pub(super) fn with_refusal<Q>(&self, refusal: Arc<Q>) -> Rules<Q> {
        Rules {
            limiter: self.limiter.clone(),
            limit: self.limit.clone(),
            limit_for: self.limit_for.clone(),
            clients: self.clients.clone(),
            cost: self.cost,
            cost_for: self.cost_for.clone(),
            outage: self.outage,
            headers: self.headers,
            shadow: self.shadow,
            extensions: self.extensions,
            refusal,
        }
    }
}

impl<R> fmt::Debug for Rules<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("policy", &self.limit.policy)
            .field("clients", &self.clients)
            .field("cost", &self.cost)
            .field("outage", &self.outage)
            .field("headers", &self.headers)
            .field("shadow", &self.shadow)
            .field("limiter", &self.limiter)
            .finish_non_exhaustive()
    }
}
