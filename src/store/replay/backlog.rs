//! What a store has to say of itself to be replayed.

use std::{future::Future, time::Duration};

use crate::{
    Error,
    health::{Continuity, Recovery, Stage},
    redis::Connection,
    telemetry::Feature,
};

/// What Redis has not been told, and how to tell it.
pub(crate) trait Backlog: Send + Sync + 'static {
    /// When in a recovery it is pushed. `None`: after it, by the task alone, since its pushes use
    /// Redis as a request does.
    const STAGE: Option<Stage>;
    /// What is pushed, for the log: the name of the recovery step.
    const NAME: &'static str;
    /// The label of `redis_recovery_replayed_total`.
    const FEATURE: Feature;
    /// Pushes under way at once: enough to fill a round trip, too few to be in anybody's way.
    const IN_FLIGHT: usize = 32;
    /// How long a pass may hold up a recovery. The task does the rest. `None`: what guards must be
    /// pushed before Redis is used again, however long that takes.
    const PASS_LIMIT: Option<Duration> = None;

    /// It guards: what Redis drops to make room counts as lost, too, and is pushed again without an
    /// outage.
    const GUARDS: bool = false;

    /// One push.
    type Item: Send;

    /// What Redis has lost is pending again. Called once for each attempt to recover, before the
    /// pass, and where it [guards](Self::GUARDS) after evictions.
    fn mark_lost(&self, continuity: Continuity);

    /// The next page of what is pending, of bounded size; `None` after the last. `cursor` starts at
    /// 0 in each pass. A page is pushed as a whole before the next is asked for.
    fn due(&self, cursor: &mut usize) -> Option<Vec<Self::Item>>;

    /// Tells Redis, and takes note in the backlog that it was told.
    ///
    /// # Errors
    ///
    /// An [unavailable](Error::is_unavailable) Redis ends the pass. Any other error is about this
    /// item alone: it is counted, stays pending and holds up no other.
    fn push(
        &self,
        connection: &mut Connection,
        item: Self::Item,
    ) -> impl Future<Output = Result<Pushed, Error>> + Send;

    /// What a recovery has to do before the pass. By default nothing.
    fn before(
        &self,
        _connection: &mut Connection,
        _recovery: &Recovery,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }

    /// What a recovery has to do after the pass. By default nothing.
    fn after(
        &self,
        _connection: &mut Connection,
        _recovery: &Recovery,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }
}

/// How a push is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// New to Redis.
    pub(crate) applied: u64,
    /// Redis knew it already, or knew better.
    pub(crate) discarded: u64,
}

impl Pushed {
    /// Everyday work, not counted as replayed.
    pub(crate) const NONE: Self = Self { applied: 0, discarded: 0 };
    /// One item, new to Redis.
    pub(crate) const APPLIED: Self = Self { applied: 1, discarded: 0 };
    /// One item that Redis knew.
    pub(crate) const DISCARDED: Self = Self { applied: 0, discarded: 1 };
}
