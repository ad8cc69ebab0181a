//! The limit over all instances: Redis decides, and memory where Redis does not.

use std::fmt;
use std::sync::Arc;

use super::in_flight::InFlight;
use super::inner::Inner;
use super::permit::{Admission, Busy, Permit};
use crate::redis::Redis;
use crate::store::rate::{RateLimiter, Subject};

/// A limit on how much is in flight at a time, over all instances of a service. Cheap to clone; clones share their state.
///
/// While Redis serves, it decides, in one round trip; when this instance alone has as many in flight as all may, it refuses
/// without asking.
///
/// # When Redis is down
///
/// - Decisions come from memory. The first that finds out waits for at most the `op_timeout`.
/// - This instance admits its share, the limit divided by the number of live instances (known from the heartbeats of
///   [`RateLimiter`]), rounded down and at least 1. It starts from what is in flight here at that moment: what Redis
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
    /// A limiter with heartbeats of its own. Never waits for Redis.
    pub fn new(redis: &Redis, limit: InFlight) -> Self {
        Self::beside(&RateLimiter::new(redis).with_max_subjects(1), limit)
    }

    /// A limiter that has the heartbeats of a rate limiter, and with them its
    /// [`with_instances`](RateLimiter::with_instances) and
    /// [`with_expected_instances`](RateLimiter::with_expected_instances).
    pub fn beside(fleet: &RateLimiter, limit: InFlight) -> Self {
        let inner = Inner::new(fleet, limit);
        inner.keep();
        Self(inner)
    }

    /// The same limiter with another limit. It starts afresh: to be called before it is shared.
    #[must_use]
    pub fn with_limit(self, limit: InFlight) -> Self {
        Self::beside(&self.0.fleet, limit)
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
