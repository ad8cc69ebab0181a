//! The rate limiter: Redis decides over all instances, and memory where Redis does not.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::backends::Backends;
use super::bucket::Bucket;
use super::leases::{self, Leases};
use super::metrics::{CountersByPolicy, DecisionCounters};
use super::outage::OutagePolicy;
use super::policy::RatePolicy;
use super::settlement::Settlement;
use super::subject::Subject;
use super::verdict::{DecisionSource, RateVerdict};
use crate::Error;
use crate::redis::Redis;
use crate::store::membership::MemberSettings;
use crate::store::replay::Replay;
use crate::store::switch::{Needs, Step, Switch};
use crate::telemetry::Feature;

/// A rate limit over all instances of a service. Cheap to clone; clones share their state.
///
/// While Redis serves, it decides, in one round trip; what it would refuse anyway is refused here
/// without asking (the deny cache). One limiter serves any number of [policies](RatePolicy), and of
/// [layers](crate::layer::rate_limit::RateLimitLayer).
///
/// # When Redis is down
///
/// - Decisions come from memory, in well under a microsecond. The first that finds out waits for at
///   most the `op_timeout`.
/// - Each subject goes on from where Redis left off, as far as this instance has seen it lately, on
///   this instance's share of the limit: the limit divided by the number of live instances, rounded
///   down, at least 1. Who is alive is known from heartbeats in Redis, one a probe interval; three
///   missed ones and an instance no longer counts (see
///   [`with_instances`](super::RateLimiterBuilder::with_instances)).
/// - When Redis is back, and before it is used again, what was admitted without it is charged to
///   it, once, as far as it has not decayed by then. Should it have come back empty or older, what
///   it told this instance before is restored.
/// - Flapping hands out nothing twice: what an instance has used of its share stays used until time
///   gives it back.
///
/// # Exact and bounded
///
/// While Redis serves, the limit is exact, to the microsecond, over all instances. Without it, all
/// instances together admit at most the limit plus one for each of them, provided that they know of
/// each other. What is not known then: instances that were started within the last heartbeat, and
/// spending that went through other instances lately.
///
/// # Time
///
/// Made on a runtime of one thread, or outside of any, it goes by tokio's clock, which tests can
/// pause. On a runtime of several threads time cannot be paused: there it reads the processor's
/// counter and is set right by the system's monotonic clock once a millisecond.
///
/// # Examples
///
/// ```no_run
/// use evenkeel::{redis::Redis, store::rate::{RatePolicy, Quota, RateLimiter, Subject}};
///
/// # async fn run(redis: Redis) {
/// let limiter = RateLimiter::new(&redis);
/// let mails = RatePolicy::from(Quota::per_hour(20).with_name("mails"));
/// let verdict = limiter.decide(&mails, &Subject::text("user 7"), 1).await;
/// if verdict.allowed() {
///     println!("{} left, says {}", verdict.remaining(), verdict.source().as_str());
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct RateLimiter(Arc<Inner>);

impl RateLimiter {
    /// The limiter of this handle with the defaults. Never waits for Redis, and starts nothing from
    /// the second call on: all who ask for it share one table in memory, as they share the limit in
    /// Redis.
    pub fn new(redis: &Redis) -> Self {
        Self(redis.shared(|| Inner::new(redis, Settings::default())))
    }

    pub(super) fn with_settings(redis: &Redis, settings: Settings) -> Self {
        Self(Inner::new(redis, settings))
    }

    /// May `subject` spend `cost`? A cost of 0 asks without spending. Always answers; while Redis
    /// is away, from memory.
    pub async fn decide(&self, policy: &RatePolicy, subject: &Subject, cost: u32) -> RateVerdict {
        let (bucket, outage) = (Bucket { policy, subject }, OutagePolicy::Local);
        let verdict = match self.step(bucket, cost, outage) {
            Step::Decided(verdict) => verdict,
            // Boxed: a future with room for all that it takes to ask Redis is expensive to move,
            // and mostly nobody is asked.
            Step::Ask(asked) => Box::pin(self.decide_remote(bucket, asked, cost, outage)).await,
        };
        // `Local` has always decided.
        let verdict = verdict.unwrap_or_else(|| self.decide_local(bucket, self.now(), cost));
        self.0.counters.count(self.redis().metrics(), policy, &verdict);
        verdict
    }

    /// Makes a subject owe nothing any more: an operator's pardon. In this process at once, also
    /// when Redis is away. What other instances know lasts for one full burst at most.
    ///
    /// # Errors
    ///
    /// What Redis says, [unavailable](Error::is_unavailable) included: then the reset holds in this
    /// process until Redis is asked again.
    pub async fn reset(&self, policy: &RatePolicy, subject: &Subject) -> Result<(), Error> {
        let (bucket, Backends { memory, remote, .. }) =
            (Bucket { policy, subject }, &*self.0.backends);
        memory.reset(bucket);
        remote.reset(bucket).await
    }

    /// Among how many instances the limit would be divided now.
    pub fn instances(&self) -> NonZeroU32 {
        self.0.backends.instances()
    }

    /// How many subjects are held in memory.
    pub fn subjects(&self) -> usize {
        self.0.backends.memory.len()
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.0.redis
    }

    #[inline]
    fn now(&self) -> u64 {
        self.0.backends.now()
    }

    /// What is decided without I/O, or since when it is for Redis to decide. Decided with `None`:
    /// Redis is away, and by the outage policy nobody else may decide.
    #[inline]
    pub(crate) fn step(
        &self,
        bucket: Bucket<'_>,
        cost: u32,
        outage: OutagePolicy,
    ) -> Step<Option<RateVerdict>, u64> {
        let Inner { backends, leases, switch, .. } = &*self.0;
        let now = backends.now();
        if let Some(leases) = leases
            && cost > 0
            && let Some(decision) = leases.spend(bucket, now, cost)
        {
            return Step::Decided(Some(RateVerdict::whole(decision, DecisionSource::Redis)));
        }
        if !switch.is_up() {
            return Step::Decided(self.without_redis(bucket, now, cost, outage));
        }
        match backends.memory.denied(bucket, now, cost) {
            Some(decision) => {
                Step::Decided(Some(RateVerdict::whole(decision, DecisionSource::DenyCache)))
            }
            None => Step::Ask(now),
        }
    }

    /// What Redis says, or what is decided because it says nothing.
    pub(crate) async fn decide_remote(
        &self,
        bucket: Bucket<'_>,
        asked: u64,
        cost: u32,
        outage: OutagePolicy,
    ) -> Option<RateVerdict> {
        let Inner { backends, leases, switch, .. } = &*self.0;
        let answer = switch.redis(async {
            if let Some(leases) = leases
                && cost > 0
                && let Some(answer) = leases.ask(bucket, cost).await
            {
                return answer;
            }
            let decision = backends.ask(bucket, asked, cost).await?;
            Ok(RateVerdict::whole(decision, DecisionSource::Redis))
        });
        match answer.await {
            Ok(verdict) => Some(verdict),
            Err(error) => {
                switch.log(&error);
                self.without_redis(bucket, self.now(), cost, outage)
            }
        }
    }

    // Always, as below: a verdict is large, and would be moved once more on its way (7 ns).
    #[inline(always)]
    fn without_redis(
        &self,
        bucket: Bucket<'_>,
        now: u64,
        cost: u32,
        outage: OutagePolicy,
    ) -> Option<RateVerdict> {
        let cost = match outage {
            OutagePolicy::Local => cost,
            OutagePolicy::Allow => 0,
            OutagePolicy::Deny => return None,
        };
        Some(self.decide_local(bucket, now, cost))
    }

    /// What memory says, on this instance's share.
    #[inline(always)]
    fn decide_local(&self, bucket: Bucket<'_>, now: u64, cost: u32) -> RateVerdict {
        let Inner { backends, replay, switch, .. } = &*self.0;
        let instances = backends.instances();
        let decision = bucket.policy.with_share(instances, |policy| {
            backends.memory.decide(Bucket { policy, ..bucket }, now, cost)
        });
        if decision.allowed() && cost > 0 {
            replay.arm();
        }
        switch.record_fallback();
        RateVerdict::share(decision, instances)
    }

    /// The counters of a policy.
    pub(crate) fn counters(&self, policy: &RatePolicy) -> Arc<DecisionCounters> {
        self.0.counters.of(self.redis().metrics(), policy)
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("subjects", &self.subjects())
            .field("instances", &self.instances())
            .field("redis", self.redis())
            .finish()
    }
}

/// Subjects that are held in memory, unless set.
const CAPACITY: usize = 100_000;

/// What a limiter was told.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) capacity: usize,
    pub(super) members: MemberSettings,
    pub(super) lease: Option<NonZeroU32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { capacity: CAPACITY, members: MemberSettings::default(), lease: None }
    }
}

/// What the clones of a limiter share.
struct Inner {
    redis: Redis,
    backends: Arc<Backends>,
    leases: Option<Arc<Leases>>,
    /// Armed when something was admitted without Redis.
    replay: Replay<Settlement>,
    /// Held for the replay.
    _settlement: Arc<Settlement>,
    switch: Switch,
    counters: CountersByPolicy,
}

impl Inner {
    fn new(redis: &Redis, settings: Settings) -> Arc<Self> {
        let Settings { capacity, members, lease } = settings;
        let backends = Arc::new(Backends::new(redis, capacity, members));
        let settlement = Arc::new(Settlement::new(&backends));
        let leases = lease.map(|cells| Arc::new(Leases::new(&backends, cells, capacity)));
        if let Some(leases) = &leases {
            redis.spawn(leases::maintain(Arc::downgrade(leases), redis.monitor().clone()));
        }
        Arc::new(Self {
            redis: redis.clone(),
            backends,
            leases,
            replay: Replay::new(redis, Arc::downgrade(&settlement)),
            _settlement: settlement,
            switch: Switch::new(redis, Feature::RateLimit, Needs::Writes),
            counters: CountersByPolicy::default(),
        })
    }
}
