//! The limit over all instances: Redis decides, and memory where Redis does not.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::in_flight::InFlight;
use super::inner::Inner;
use super::permit::{Admission, Busy, Permit};
use crate::redis::Redis;
use crate::store::membership::MemberSettings;
use crate::store::rate::Subject;

/// A limit on how much is in flight at a time, over all instances of a service. Cheap to clone; clones share their state.
///
/// While Redis serves, it decides, in one round trip; when this instance alone has as many in flight as all may, it refuses
/// without asking.
///
/// # When Redis is down
///
/// - Decisions come from memory. The first that finds out waits for at most the `op_timeout`.
/// - This instance admits its share, the limit divided by the number of live instances (known from heartbeats in Redis, see
///   [`with_instances`](ConcurrencyLimiterBuilder::with_instances)), rounded down and at least 1. It starts from what is in flight here at that moment: what Redis
///   admitted goes on, and nothing new comes in before there is less than the share.
/// - When Redis is back, and before it is used again, what is in flight here is registered there, and what has ended is
///   taken out.
///
/// # Exact and bounded
///
/// While Redis serves, there are never more in flight than the limit. In an outage there may be as many as Redis had admitted
/// by then, and the shares of other instances. A request counts for longer than it lasts where Redis could not be told:
/// for one [lease](InFlight::with_lease) at most. When the clock of Redis steps back, leases are forgotten until they are renewed,
/// which takes at most a third of a lease and a second.
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

    /// May one more of `subject` be in flight? It is until the permit is dropped. Always answers; while Redis is away, from
    /// memory.
    ///
    /// To drop this future is to ask for nothing: what Redis may have admitted meanwhile is given back.
    ///
    /// # Errors
    ///
    /// [`Busy`] when as many are in flight as may be.
    pub async fn acquire(&self, subject: &Subject) -> Result<Permit, Busy> {
        match self.at_hand(subject) {
            Some(admission) => admission,
            None => self.ask(subject).await,
        }
    }

    /// What is judged without asking anybody.
    pub(crate) fn at_hand(&self, subject: &Subject) -> Option<Admission> {
        let admission = self.0.at_hand(subject);
        self.count(admission.as_ref()?);
        admission
    }

    /// What Redis says, or else what memory says.
    pub(crate) async fn ask(&self, subject: &Subject) -> Admission {
        let admission = self.0.ask(subject).await;
        self.count(&admission);
        admission
    }

    fn count(&self, admission: &Admission) {
        let occupancy = match admission {
            Ok(permit) => permit.occupancy(),
            Err(busy) => busy.occupancy(),
        };
        self.0.tally.add(occupancy.source(), admission.is_ok(), false);
    }

    /// Among how many instances the limit would be divided now.
    pub fn instances(&self) -> NonZeroU32 {
        self.0.members.get()
    }

    /// How many are in flight here, of all subjects.
    pub fn in_flight(&self) -> usize {
        self.0.table.len()
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
    /// Divides the limit by this number while Redis is away, whatever the heartbeats say. Default: as
    /// many as are alive, known from one heartbeat of each process for each probe interval; three
    /// missed ones and an instance no longer counts.
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
        ConcurrencyLimiter(Inner::new(&self.redis, self.limit, self.members))
    }
}
