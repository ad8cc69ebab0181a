//! The limit over all instances: Redis decides, and memory where Redis does not.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::backends::Backends;
use super::leases::{self, Leases};
use super::metrics::{CountersByPolicy, DecisionCounters};
use super::policy::Policy;
use super::settlement::Settlement;
use super::subject::Subject;
use super::verdict::{DecisionSource, Verdict};
use crate::Error;
use crate::health::HealthMonitor;
use crate::redis::Redis;
use crate::store::membership::MemberSettings;
use crate::store::replay::Replay;
use crate::store::switch::{Needs, Switch};
use crate::telemetry::{Feature, Metrics};

/// A rate limit over all instances of a service. Cheap to clone; clones share their state.
///
/// While Redis serves, it decides, in one round trip; what it would refuse anyway is refused here without asking (the
/// deny cache). One limiter serves any number of [policies](Policy), and of
/// [layers](crate::layer::rate_limit::RateLimitLayer).
///
/// # When Redis is down
///
/// - Decisions come from memory, in well under a microsecond. The first that finds out waits for at most the `op_timeout`.
/// - Each subject goes on from where Redis left off, as far as this instance has seen it lately, on this instance's
///   share of the limit: the limit divided by the number of live instances, rounded down, at least 1. Who is alive is known from
///   heartbeats in Redis, one a probe interval; three missed ones and an instance no longer counts (see
///   [`with_instances`](super::RateLimiterBuilder::with_instances)).
/// - When Redis is back, and before it is used again, what was admitted without it is charged to it, once, as far as it
///   has not decayed by then. Should it have come back empty or older, what it told this instance before is restored.
/// - Flapping hands out nothing twice: what an instance has used of its share stays used until time gives it back.
///
/// # Exact and bounded
///
/// While Redis serves, the limit is exact, to the microsecond, over all instances. Without it, all instances together admit at
/// most the limit plus one for each of them, provided that they know of each other. What is not known then: instances that were
/// started within the last heartbeat, and spending that went through other instances lately.
///
/// # Time
///
/// Made on a runtime of one thread, or outside of any, it goes by tokio's clock, which tests can pause. On a runtime of
/// several threads time cannot be paused: there it reads the processor's counter and is set right by the system's monotonic clock
/// once a millisecond.
///
/// # Examples
///
/// ```no_run
/// use evenkeel::{redis::Redis, store::rate::{Policy, Quota, RateLimiter, Subject}};
///
/// # async fn run(redis: Redis) {
/// let limiter = RateLimiter::new(&redis);
/// let mails = Policy::from(Quota::per_hour(20).with_name("mails"));
/// let verdict = limiter.decide(&mails, &Subject::text("user 7"), 1).await;
/// if verdict.allowed() {
///     println!("{} left, says {}", verdict.remaining(), verdict.source().as_str());
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct RateLimiter(Arc<Inner>);

impl RateLimiter {
    /// The limiter of this handle with the defaults. Never waits for Redis, and starts nothing from the
    /// second call on: all who ask for it share one table in memory, as they share the limit in Redis.
    pub fn new(redis: &Redis) -> Self {
        Self(redis.shared(|| Inner::new(redis, Settings::default())))
    }

    pub(super) fn with_settings(redis: &Redis, settings: Settings) -> Self {
        Self(Inner::new(redis, settings))
    }

    /// May `subject` spend `cost`? A cost of 0 asks without spending. Always answers; while Redis is
    /// away, from memory.
    pub async fn decide(&self, policy: &Policy, subject: &Subject, cost: u32) -> Verdict {
        let now = self.now();
        let verdict = if let Some(verdict) = self.at_hand(policy, subject, now, cost) {
            verdict
        } else if !self.is_up() {
            self.local(policy, subject, now, cost)
        } else if let Some(verdict) = self.ask(policy, subject, now, cost).await {
            verdict
        } else {
            self.local(policy, subject, self.now(), cost)
        };
        self.0.counters.count(self.metrics(), policy, &verdict);
        verdict
    }

    /// Forgets what a subject owes: an operator's pardon. In this process at once, also when Redis is
    /// away. What other instances know lasts for one full burst at most.
    ///
    /// # Errors
    ///
    /// What Redis says, [unavailable](Error::is_unavailable) included: then the pardon holds in this
    /// process until Redis is asked again.
    pub async fn forgive(&self, policy: &Policy, subject: &Subject) -> Result<(), Error> {
        let Backends { memory, remote, .. } = &*self.0.backends;
        memory.forget(policy, subject);
        remote.forget(&mut self.0.backends.connection(), policy, subject).await
    }

    /// Among how many instances the limit would be divided now.
    pub fn instances(&self) -> NonZeroU32 {
        self.0.backends.instances()
    }

    /// How many subjects are held in memory.
    pub fn subjects(&self) -> usize {
        self.0.backends.memory.len()
    }

    /// Reads and writes work: Redis is to be asked.
    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        self.0.switch.is_up()
    }

    pub(crate) fn monitor(&self) -> &HealthMonitor {
        self.0.backends.redis.monitor()
    }

    fn metrics(&self) -> &Metrics {
        self.0.backends.redis.metrics()
    }

    /// The time of all decisions here, in microseconds.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.0.backends.now()
    }

    /// What is decided without asking anybody: a lease is spent, or it is known that Redis would
    /// refuse.
    #[inline]
    pub(crate) fn at_hand(
        &self,
        policy: &Policy,
        subject: &Subject,
        now: u64,
        cost: u32,
    ) -> Option<Verdict> {
        if let Some(leases) = &self.0.leases
            && cost > 0
            && let Some(decision) = leases.spend(policy, subject, now, cost)
        {
            return Some(Verdict::whole(decision, DecisionSource::Redis));
        }
        if !self.is_up() {
            return None;
        }
        let decision = self.0.backends.memory.denied(policy, subject, now, cost)?;
        Some(Verdict::whole(decision, DecisionSource::DenyCache))
    }

    /// What Redis says; `None` when it does not.
    pub(crate) async fn ask(
        &self,
        policy: &Policy,
        subject: &Subject,
        asked: u64,
        cost: u32,
    ) -> Option<Verdict> {
        let Inner { backends, leases, switch, .. } = &*self.0;
        let answer = async {
            if let Some(leases) = leases
                && cost > 0
                && let Some(answer) = leases.ask(policy, subject, cost).await
            {
                return answer;
            }
            let decision = backends.ask(policy, subject, asked, cost).await?;
            Ok(Verdict::whole(decision, DecisionSource::Redis))
        };
        match switch.redis(answer).await {
            Ok(verdict) => Some(verdict),
            Err(error) => {
                switch.log(&error);
                None
            }
        }
    }

    /// What memory says, on this instance's share.
    #[inline]
    pub(crate) fn local(&self, policy: &Policy, subject: &Subject, now: u64, cost: u32) -> Verdict {
        let Inner { backends, replay, switch, .. } = &*self.0;
        let instances = backends.instances();
        let decision =
            policy.with_share(instances, |share| backends.memory.decide(share, subject, now, cost));
        if decision.allowed() && cost > 0 {
            replay.arm();
        }
        switch.record_fallback();
        Verdict::share(decision, instances)
    }

    /// The counters of a policy.
    pub(crate) fn tally(&self, policy: &Policy) -> Arc<DecisionCounters> {
        self.0.counters.of(self.metrics(), policy)
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("subjects", &self.subjects())
            .field("instances", &self.instances())
            .field("redis", &self.0.backends.redis)
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
            redis.spawn(leases::maintain(Arc::downgrade(leases)));
        }
        Arc::new(Self {
            backends,
            leases,
            replay: Replay::new(redis, Arc::downgrade(&settlement)),
            _settlement: settlement,
            switch: Switch::new(redis, Feature::RateLimit, Needs::Writes),
            counters: CountersByPolicy::default(),
        })
    }
}
