//! What is counted of decisions.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::policy::Policy;
use super::verdict::{DecisionSource, Verdict};
use crate::telemetry::{Counter, Metrics, names};

const SOURCES: [DecisionSource; 3] =
    [DecisionSource::Redis, DecisionSource::Memory, DecisionSource::DenyCache];
const DECISIONS: [&str; 3] = ["allowed", "limited", "shadow_limited"];
/// More policies than anybody has, unless their names are made up at run time: then counters are looked up anew.
const MOST: usize = 1_000;

/// The counters of one policy.
pub(crate) struct Tally([[Counter; DECISIONS.len()]; SOURCES.len()]);

impl Tally {
    pub(crate) fn new(metrics: &Metrics, policy: &str) -> Self {
        Self(SOURCES.map(|source| {
            DECISIONS.map(|decision| {
                let labels =
                    [("policy", policy), ("decision", decision), ("source", source.as_str())];
                metrics.counter(names::RATE_LIMIT_DECISIONS, &labels)
            })
        }))
    }

    /// Counts one decision; with `shadow`, a refusal that was not carried out.
    #[inline]
    pub(crate) fn count(&self, verdict: &Verdict, shadow: bool) {
        self.add(verdict.source(), verdict.allowed(), shadow);
    }

    #[inline]
    pub(crate) fn add(&self, source: DecisionSource, is_allowed: bool, shadow: bool) {
        let [redis, memory, deny_cache] = &self.0;
        let [allowed, limited, shadow_limited] = match source {
            DecisionSource::Redis => redis,
            DecisionSource::Memory => memory,
            DecisionSource::DenyCache => deny_cache,
        };
        let counter = match (is_allowed, shadow) {
            (true, _) => allowed,
            (false, false) => limited,
            (false, true) => shadow_limited,
        };
        counter.add(1);
    }
}

/// The counters of all policies.
#[derive(Default)]
pub(super) struct Tallies(ArcSwap<HashMap<u64, Arc<Tally>>>);

impl Tallies {
    /// For the hot path: counts without taking the counters out, which threads would have to agree on.
    pub(super) fn count(&self, metrics: &Metrics, policy: &Policy, verdict: &Verdict) {
        match self.0.load().get(&policy.space()) {
            Some(tally) => tally.count(verdict, false),
            None => self.make(metrics, policy).count(verdict, false),
        }
    }

    pub(super) fn of(&self, metrics: &Metrics, policy: &Policy) -> Arc<Tally> {
        let known = self.0.load().get(&policy.space()).map(Arc::clone);
        known.unwrap_or_else(|| self.make(metrics, policy))
    }

    #[cold]
    fn make(&self, metrics: &Metrics, policy: &Policy) -> Arc<Tally> {
        let tally = Arc::new(Tally::new(metrics, policy.name()));
        self.0.rcu(|held| {
            let mut held = if held.len() < MOST { HashMap::clone(held) } else { HashMap::new() };
            held.insert(policy.space(), Arc::clone(&tally));
            held
        });
        tally
    }
}
