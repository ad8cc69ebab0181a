//! What is counted of decisions: `rate_limit_decisions_total`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

use super::policy::RatePolicy;
use super::verdict::{DecisionSource, RateVerdict};
use crate::telemetry::{Counter, Metrics, names};

/// More policies than anybody has, unless their names are made up at run time: then counters are
/// looked up anew.
const CAPACITY: usize = 1_000;

/// The counters of one policy: those that its decisions can count in, and no others.
pub(crate) struct DecisionCounters {
    metrics: Metrics,
    policy: String,
    enforced: Sources,
    /// Where refusals are not carried out.
    shadow: Sources,
}

/// What was refused and what was allowed. Made at the first decision; those of memory at its first
/// decision, since a limit may well never let memory decide.
#[derive(Default)]
struct Sources {
    redis: OnceLock<[Counter; 2]>,
    memory: OnceLock<[Counter; 2]>,
    deny_cache: OnceLock<[Counter; 2]>,
}

impl DecisionCounters {
    pub(crate) fn new(metrics: &Metrics, policy: &str) -> Self {
        Self {
            metrics: metrics.clone(),
            policy: policy.to_owned(),
            enforced: Sources::default(),
            shadow: Sources::default(),
        }
    }

    /// Counts one decision; with `is_shadow`, a refusal that was not carried out.
    #[inline]
    pub(crate) fn count(&self, verdict: &RateVerdict, is_shadow: bool) {
        self.add(verdict.source(), verdict.allowed(), is_shadow);
    }

    #[inline]
    pub(crate) fn add(&self, source: DecisionSource, is_allowed: bool, is_shadow: bool) {
        let sources = if is_shadow { &self.shadow } else { &self.enforced };
        let counters = match source {
            DecisionSource::Redis => &sources.redis,
            DecisionSource::Memory => &sources.memory,
            DecisionSource::DenyCache => &sources.deny_cache,
        };
        let [refused, allowed] = match counters.get() {
            Some(counters) => counters,
            None => counters.get_or_init(|| self.make(source, is_shadow)),
        };
        if is_allowed { allowed } else { refused }.add(1);
    }

    #[cold]
    fn make(&self, source: DecisionSource, is_shadow: bool) -> [Counter; 2] {
        let counter = |decision| {
            let labels =
                [("policy", &*self.policy), ("decision", decision), ("source", source.as_str())];
            self.metrics.counter(names::RATE_LIMIT_DECISIONS, &labels)
        };
        let refused = counter(if is_shadow { "shadow_limited" } else { "limited" });
        // The deny cache only ever refuses: nobody sees this one.
        let only_refuses = source == DecisionSource::DenyCache;
        let allowed = if only_refuses { Counter::default() } else { counter("allowed") };
        [refused, allowed]
    }
}

/// The counters of all policies.
#[derive(Default)]
pub(super) struct CountersByPolicy(ArcSwap<HashMap<u64, Arc<DecisionCounters>>>);

impl CountersByPolicy {
    /// For the hot path: counts without taking the counters out, which threads would have to agree
    /// on.
    pub(super) fn count(&self, metrics: &Metrics, policy: &RatePolicy, verdict: &RateVerdict) {
        match self.0.load().get(&policy.space()) {
            Some(counters) => counters.count(verdict, false),
            None => self.make(metrics, policy).count(verdict, false),
        }
    }

    pub(super) fn of(&self, metrics: &Metrics, policy: &RatePolicy) -> Arc<DecisionCounters> {
        let known = self.0.load().get(&policy.space()).map(Arc::clone);
        known.unwrap_or_else(|| self.make(metrics, policy))
    }

    #[cold]
    fn make(&self, metrics: &Metrics, policy: &RatePolicy) -> Arc<DecisionCounters> {
        let counters = Arc::new(DecisionCounters::new(metrics, policy.name()));
        self.0.rcu(|held| {
            let mut held =
                if held.len() < CAPACITY { HashMap::clone(held) } else { HashMap::new() };
            held.insert(policy.space(), Arc::clone(&counters));
            held
        });
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "prometheus")]
    fn exported(metrics: &Metrics) -> Vec<String> {
        let text = metrics.exposition().expect("made for Prometheus");
        let lines = text.lines().filter(|line| line.starts_with("rate_limit_decisions_total"));
        let word = |line: &str, label| {
            let rest = line.split_once(&format!("{label}=\"")).map_or("", |(_, rest)| rest);
            rest.split('"').next().unwrap_or_default().to_owned()
        };
        let mut words: Vec<String> =
            lines.map(|line| word(line, "decision") + " by " + &word(line, "source")).collect();
        words.sort();
        words
    }

    #[cfg(feature = "prometheus")]
    #[test]
    fn only_what_can_be_counted_is_exported() {
        let metrics = Metrics::prometheus("test", "one");
        let counters = DecisionCounters::new(&metrics, "a");
        assert_eq!(exported(&metrics), [""; 0]);
        counters.add(DecisionSource::Redis, true, false);
        assert_eq!(exported(&metrics), ["allowed by redis", "limited by redis"]);
        counters.add(DecisionSource::DenyCache, false, false);
        counters.add(DecisionSource::Memory, true, true);
        let all = [
            "allowed by memory",
            "allowed by redis",
            "limited by deny_cache",
            "limited by redis",
            "shadow_limited by memory",
        ];
        assert_eq!(exported(&metrics), all);
    }
}
