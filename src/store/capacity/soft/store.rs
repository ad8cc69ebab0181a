//! The handle.

use std::{fmt, sync::Arc};

use super::{local::Local, remote::Order};
use crate::{
    Error, ErrorKind, Served, Source,
    redis::Redis,
    store::{
        capacity::{
            CapacityVerdict, ReleaseVerdict, RequestId, Token, metrics::CapacityMetrics,
            truth::check,
        },
        replay::Replay,
        switch::Switch,
    },
};

/// A limit that only Redis counts, for what a database does not know of. Cheap to clone.
///
/// Where more than the limit must never be given out use [`Capacity`](super::super::Capacity),
/// whose judge is a database. Here Redis is the judge; what it loses is given out again.
///
/// # When Redis is down
///
/// Nothing is given out, and the error says so; or a [share] of each event, counted in memory and
/// told to Redis before it counts as available again.
///
/// [share]: super::SoftCapacityBuilder::with_share_without_redis
///
/// ```no_run
/// # async fn demo(redis: evenkeel::redis::Redis) -> Result<(), evenkeel::Error> {
/// use evenkeel::store::capacity::{CapacityVerdict, RequestId, SoftCapacity};
///
/// let invitations = SoftCapacity::builder(&redis, "invitations", 1_000)
///     .with_share_without_redis(10)
///     .build()?;
/// let request = RequestId::given("alice")?;
/// match invitations.reserve("spring", 1, &request).await?.value {
///     CapacityVerdict::Granted { left, .. } => println!("invited, {left} left"),
///     refused => println!("{refused:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SoftCapacity {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) redis: Redis,
    pub(super) switch: Switch,
    pub(super) local: Arc<Local>,
    pub(super) replay: Replay<Local>,
    pub(super) metrics: CapacityMetrics,
    pub(super) name: String,
    pub(super) capacity: u64,
}

impl SoftCapacity {
    pub(super) fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Reserves so many of the event. The same request id again is the same reservation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for 0, or for an event whose name has not 1 to 256 bytes. Without a
    /// share, also while Redis is away: whether it was done is not known then, and the same
    /// request id may be used again.
    pub async fn reserve(
        &self,
        event: &str,
        seats: u32,
        request: &RequestId,
    ) -> Result<Served<CapacityVerdict>, Error> {
        let inner = &*self.inner;
        check("event", event)?;
        if seats == 0 {
            return Err(Error::new(ErrorKind::Invalid, "at least one has to be asked for"));
        }
        if u64::from(seats) > inner.capacity {
            let never = CapacityVerdict::TooMany { capacity: inner.capacity };
            return Ok(self.decided(Served::new(never, Source::Memory)));
        }
        let (id, token) = (request.text(), Token::random());
        let order = Order { event, request: &id, token, seats, is_given: false };
        let mut connection = inner.redis.connection();
        let answer = inner.switch.redis(inner.local.remote.take(&mut connection, order)).await;
        match answer {
            Ok(verdict) => Ok(self.decided(Served::new(verdict, Source::Redis))),
            Err(error) if error.is_unavailable() && inner.local.share > 0 => {
                // Under the token that Redis may have written before it went.
                let verdict = inner.local.take(event, seats, &id, token);
                inner.replay.arm();
                Ok(self.decided(inner.switch.answer_from_memory(verdict)))
            }
            Err(error) => {
                inner.metrics.failed(Source::Redis);
                Err(error)
            }
        }
    }

    /// Gives a reservation back. The same token a second time releases nothing.
    ///
    /// # Errors
    ///
    /// While Redis is away, of what Redis has given out: to be repeated.
    pub async fn release(
        &self,
        event: &str,
        token: &Token,
    ) -> Result<Served<ReleaseVerdict>, Error> {
        let inner = &*self.inner;
        check("event", event)?;
        if let Some(released) = inner.local.free(event, *token) {
            inner.metrics.released(Source::Memory);
            return Ok(inner.switch.answer_from_memory(released));
        }
        let mut connection = inner.redis.connection();
        let freed = inner.local.remote.free(&mut connection, event, *token);
        match inner.switch.redis(freed).await {
            Ok(verdict) => {
                inner.metrics.released(Source::Redis);
                Ok(Served::new(verdict, Source::Redis))
            }
            Err(error) => {
                inner.metrics.failed(Source::Redis);
                Err(error)
            }
        }
    }

    fn decided(&self, verdict: Served<CapacityVerdict>) -> Served<CapacityVerdict> {
        self.inner.metrics.decided(&verdict.value, verdict.source);
        verdict
    }
}

impl fmt::Debug for SoftCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftCapacity").field("name", &self.inner.name).finish_non_exhaustive()
    }
}
