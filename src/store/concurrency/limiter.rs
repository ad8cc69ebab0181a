//! The concurrency limiter: Redis decides over all instances, and memory where Redis does not.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::in_flight::InFlight;
use super::law;
use super::leases::Leases;
use super::permit::{Admission, Busy, Occupancy, Permit, Place, Registered};
use crate::redis::Redis;
use crate::store::membership::{MemberCount, MemberSettings};
use crate::store::rate::{DecisionCounters, DecisionSource, Subject};
use crate::store::switch::{Needs, Switch};
use crate::telemetry::Feature;

/// A limit on how much is in flight at a time, over all instances of a service. Cheap to clone;
/// clones share their state.
///
/// While Redis serves, it decides, in one round trip; when this instance alone has as many in
/// flight as all may, it refuses without asking.
///
/// # When Redis is down
///
/// - Decisions come from memory. The first that finds out waits for at most the `op_timeout`.
/// - This instance admits its share, the limit divided by the number of live instances (known from
///   heartbeats in Redis, see [`with_instances`](ConcurrencyLimiterBuilder::with_instances)),
///   rounded down and at least 1. It starts from what is in flight here at that moment: what Redis
///   admitted goes on, and nothing new comes in before there is less than the share.
/// - When Redis is back, and before it is used again, what is in flight here is registered there,
///   and what has ended is taken out.
///
/// # Exact and bounded
///
/// While Redis serves, there are never more in flight than the limit. In an outage there may be as
/// many as Redis had admitted by then, and the shares of other instances. A request counts for
/// longer than it lasts where Redis could not be told: for one [lease](InFlight::with_lease) at
/// most. When the clock of Redis steps back, leases are forgotten until they are renewed, which
/// takes at most a third of a lease and a second.
///
/// # Examples
///
/// ```no_run
/// use evenkeel::{redis::Redis, store::{concurrency::{ConcurrencyLimiter, InFlight}, rate::Subject}};
///
/// # async fn run(redis: Redis) {
/// let exports = ConcurrencyLimiter::new(&redis, InFlight::at_most(2).with_name("exports"));
/// match exports.acquire(&Subject::text("tenant 7")).await {
///     Ok(permit) => {
///         println!("number {} of 2", permit.occupancy().in_flight());
///         drop(permit); // when the work is done
///     }
///     Err(busy) => println!("{busy}"),
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct ConcurrencyLimiter(Arc<Inner>);

/// What the clones of a limiter share.
struct Inner {
    redis: Redis,
    limit: InFlight,
    /// Among how many the limit is divided while Redis is away.
    members: MemberCount,
    leases: Arc<Leases>,
    switch: Switch,
    counters: DecisionCounters,
    /// The next request's number.
    next: AtomicU64,
}

impl ConcurrencyLimiter {
    /// A limiter with the defaults. Never waits for Redis.
    pub fn new(redis: &Redis, limit: InFlight) -> Self {
        Self::builder(redis, limit).build()
    }

    /// A limiter with settings of its own.
    ///
    /// ```no_run
    /// # use std::num::NonZeroU32;
    /// # use evenkeel::{redis::Redis, store::concurrency::{ConcurrencyLimiter, InFlight}};
    /// # fn demo(redis: &Redis, instances: NonZeroU32) {
    /// let exports = ConcurrencyLimiter::builder(redis, InFlight::at_most(8))
    ///     .with_instances(instances)
    ///     .build();
    /// # }
    /// ```
    pub fn builder(redis: &Redis, limit: InFlight) -> ConcurrencyLimiterBuilder {
        let members = MemberSettings::default();
        ConcurrencyLimiterBuilder { redis: redis.clone(), limit, members }
    }

    /// The limit.
    pub fn limit(&self) -> &InFlight {
        &self.0.limit
    }

    /// May one more of `subject` be in flight? It is until the permit is dropped. Always answers;
    /// while Redis is away, from memory.
    ///
    /// To drop this future is to ask for nothing: what Redis may have admitted meanwhile is given
    /// back.
    ///
    /// # Errors
    ///
    /// [`Busy`] when as many are in flight as may be.
    pub async fn acquire(&self, subject: &Subject) -> Result<Permit, Busy> {
        match self.try_local(subject) {
            Some(admission) => admission,
            None => self.decide_remote(subject).await,
        }
    }

    /// What is decided without asking anybody: Redis is away, or this instance alone has as many in
    /// flight as all may.
    pub(crate) fn try_local(&self, subject: &Subject) -> Option<Admission> {
        let Inner { leases, limit, switch, .. } = &*self.0;
        let key = leases.remote.key(subject);
        let admission = if switch.is_up() {
            let (in_flight, limit) = (leases.table.count(&key), limit.limit());
            let source = DecisionSource::DenyCache;
            let is_full = in_flight >= limit.get();
            is_full.then_some(Err(Busy(Occupancy { in_flight, limit, source })))?
        } else {
            switch.answer_from_memory(self.decide_local(self.place(key))).value
        };
        Some(self.counted(admission))
    }

    /// What Redis says, or else what memory says.
    pub(crate) async fn decide_remote(&self, subject: &Subject) -> Admission {
        let Inner { leases, redis, limit, switch, .. } = &*self.0;
        let mut place = self.place(leases.remote.key(subject));
        let (asked, mut connection) = (Instant::now(), redis.connection());
        // Before the await: who goes away in the middle of it may have been admitted.
        place.registered = Registered::InDoubt;
        let (key, holder) = (&place.key, place.holder);
        let answer = async { leases.remote.acquire(&mut connection, key, holder).await.map(Some) };
        let Some((admitted, in_flight)) = switch.ask(answer, || None).await.value else {
            return self.counted(self.decide_local(place));
        };
        let (limit, source) = (limit.limit(), DecisionSource::Redis);
        let occupancy = Occupancy { in_flight, limit, source };
        self.counted(if admitted {
            leases.table.add(&place.key, place.holder, asked + leases.renewal());
            place.registered = Registered::Yes;
            Ok(Permit::new(place, occupancy))
        } else {
            place.registered = Registered::No;
            Err(Busy(occupancy))
        })
    }

    /// What memory says, on this instance's share.
    fn decide_local(&self, place: Place) -> Admission {
        let limit = law::share(self.0.limit.limit(), self.0.members.get());
        // Redis is to hear of it as soon as it can.
        let due = Instant::now();
        let held = self.0.leases.table.admit(&place.key, place.holder, limit.get(), due);
        let source = DecisionSource::Memory;
        match held {
            Ok(in_flight) => Ok(Permit::new(place, Occupancy { in_flight, limit, source })),
            Err(in_flight) => Err(Busy(Occupancy { in_flight, limit, source })),
        }
    }

    fn place(&self, key: Arc<str>) -> Place {
        let holder = self.0.next.fetch_add(1, Ordering::Relaxed);
        let leases = Arc::clone(&self.0.leases);
        Place { leases, key, holder, registered: Registered::No }
    }

    fn counted(&self, admission: Admission) -> Admission {
        let occupancy = match &admission {
            Ok(permit) => permit.occupancy(),
            Err(busy) => busy.occupancy(),
        };
        self.0.counters.add(occupancy.source(), admission.is_ok(), false);
        admission
    }

    /// Among how many instances the limit would be divided now.
    pub fn instances(&self) -> NonZeroU32 {
        self.0.members.get()
    }

    /// How many are in flight here, of all subjects.
    pub fn in_flight(&self) -> usize {
        self.0.leases.table.len()
    }
}

impl fmt::Debug for ConcurrencyLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimiter")
            .field("limit", &self.0.limit)
            .field("in_flight", &self.in_flight())
            .field("redis", &self.0.redis)
            .finish()
    }
}

/// Builds a [`ConcurrencyLimiter`]; nothing is started before [`build`](Self::build).
#[derive(Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct ConcurrencyLimiterBuilder {
    redis: Redis,
    limit: InFlight,
    members: MemberSettings,
}

impl ConcurrencyLimiterBuilder {
    /// Divides the limit by this number while Redis is away, whatever the heartbeats say. Default:
    /// as many as are alive, known from one heartbeat of each process for each probe interval;
    /// three missed ones and an instance no longer counts.
    pub fn with_instances(mut self, instances: NonZeroU32) -> Self {
        self.members.fixed = Some(instances);
        self
    }

    /// How many instances to reckon with until heartbeats have been heard for long enough to know
    /// better (three probe intervals). Default: 1, this one alone.
    pub fn with_expected_instances(mut self, instances: NonZeroU32) -> Self {
        self.members.expected = instances;
        self
    }

    /// The limiter. Never waits for Redis.
    #[must_use]
    pub fn build(self) -> ConcurrencyLimiter {
        let Self { redis, limit, members } = self;
        ConcurrencyLimiter(Arc::new(Inner {
            members: MemberCount::new(&redis, members),
            leases: Leases::new(&redis, &limit),
            switch: Switch::new(&redis, Feature::RateLimit, Needs::Writes),
            counters: DecisionCounters::new(
                redis.metrics(),
                &format!("concurrency:{}", limit.name()),
            ),
            next: AtomicU64::new(0),
            limit,
            redis,
        }))
    }
}
