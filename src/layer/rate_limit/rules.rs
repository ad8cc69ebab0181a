//! The decision: who spends how much on which policy, and what follows from the verdict.

use std::fmt;
use std::sync::Arc;

use super::applied::Applied;
use super::headers::HeaderStyle;
use crate::layer::client_key::{Extracted, Extraction};
use crate::layer::gate::{Decide, Disposition};
use crate::layer::request_head::RequestHead;
use crate::respond::Refusal;
use crate::store::Step;
use crate::store::rate::{
    Bucket, DecisionCounters, OutagePolicy, RateLimiter, RatePolicy, RateVerdict, Retry, Subject,
};

type PolicyFn = dyn Fn(&RequestHead<'_>) -> RatePolicy + Send + Sync;
type CostFn = dyn Fn(&RequestHead<'_>) -> u32 + Send + Sync;

/// A policy and its counters.
#[derive(Clone)]
pub(super) struct Limit {
    policy: RatePolicy,
    counters: Arc<DecisionCounters>,
}

impl Limit {
    pub(super) fn new(limiter: &RateLimiter, policy: RatePolicy) -> Self {
        Self { counters: limiter.counters(&policy), policy }
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.policy.fmt(f)
    }
}

/// The settings of a layer.
#[derive(Clone)]
pub struct RateLimitRules {
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
}

/// May this subject spend so much?
#[derive(Debug)]
pub struct Question {
    subject: Subject,
    cost: u32,
    asked: u64,
    /// The policy, unless it is the layer's own.
    limit: Option<Limit>,
}

impl Decide for RateLimitRules {
    type Question = Question;
    type Applied = Box<Applied>;

    #[inline]
    fn decide(&self, head: &RequestHead<'_>) -> Step<Disposition<Box<Applied>>, Question> {
        let extracted = self.clients.extract(head);
        // Borrowed from where it was made: moving it costs more than hashing it.
        let subject = match &extracted {
            Extracted::Subject(subject) => subject,
            Extracted::Uncounted => return Step::Decided(Disposition::Pass(None)),
            Extracted::Keyless(refusal) => {
                return Step::Decided(Disposition::Refuse(*refusal, None));
            }
        };
        let cost = self.cost_for.as_ref().map_or(self.cost, |cost| cost(head));
        let chosen = self.limit_for.as_ref().map(|limit| Limit::new(&self.limiter, limit(head)));
        let limit = chosen.as_ref().unwrap_or(&self.limit);
        let bucket = Bucket { policy: &limit.policy, subject };
        match self.limiter.step(bucket, cost, self.outage) {
            Step::Decided(verdict) => Step::Decided(self.conclude(limit, verdict.as_ref())),
            Step::Ask(asked) => {
                Step::Ask(Question { subject: subject.clone(), cost, asked, limit: chosen })
            }
        }
    }

    async fn ask(&self, question: Question) -> Disposition<Box<Applied>> {
        let Question { subject, cost, asked, limit } = question;
        let limit = limit.as_ref().unwrap_or(&self.limit);
        let bucket = Bucket { policy: &limit.policy, subject: &subject };
        let verdict = self.limiter.decide_remote(bucket, asked, cost, self.outage).await;
        self.conclude(limit, verdict.as_ref())
    }
}

impl RateLimitRules {
    /// The last step: counts the verdict, and says what follows. No verdict: Redis is away, and
    /// nobody else may decide.
    #[inline(always)]
    fn conclude(&self, limit: &Limit, verdict: Option<&RateVerdict>) -> Disposition<Box<Applied>> {
        let Some(verdict) = verdict else {
            let monitor = self.limiter.redis().monitor();
            monitor.request_probe();
            return Disposition::Refuse(Refusal::unavailable(monitor), None);
        };
        limit.counters.count(verdict, self.shadow);
        let applied = self.applied(limit, verdict);
        match verdict.retry() {
            Some(_) if self.shadow => Disposition::Pass(applied),
            None => Disposition::Pass(applied),
            Some(Retry::After(wait)) => {
                Disposition::Refuse(Refusal::rate_limited(Some(wait)), applied)
            }
            Some(Retry::Never) => Disposition::Refuse(Refusal::rate_limited(None), applied),
        }
    }

    /// What makes the verdict known, if anything does.
    #[inline]
    fn applied(&self, limit: &Limit, verdict: &RateVerdict) -> Option<Box<Applied>> {
        let style = if self.shadow { HeaderStyle::None } else { self.headers };
        if style == HeaderStyle::None && !self.extensions {
            return None;
        }
        let verdict_told = self.extensions.then_some(*verdict);
        limit.policy.with_share(verdict.instances(), |share| {
            let headers = style.headers(share, verdict.decision());
            Some(Box::new(Applied { verdict: verdict_told, headers }))
        })
    }
}

impl fmt::Debug for RateLimitRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitRules")
            .field("policy", &self.limit)
            .field("clients", &self.clients)
            .field("cost", &self.cost)
            .field("outage", &self.outage)
            .field("headers", &self.headers)
            .field("shadow", &self.shadow)
            .field("limiter", &self.limiter)
            .finish_non_exhaustive()
    }
}
