//! The leases of this process, and how Redis is told of them: which are given back, which last.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::in_flight::InFlight;
use super::memory::{Holder, Table};
use super::redis::RedisLeases;
use super::release_queue::{Release, ReleaseBatch, ReleaseQueue};
use crate::Error;
use crate::health::{Continuity, Stage};
use crate::redis::{Connection, Redis};
use crate::store::replay::{Backlog, Pushed, Replay};
use crate::telemetry::Feature;

/// Between looks at what lasts, at most.
const LONGEST_TICK: Duration = Duration::from_secs(1);

/// What is in flight here, and what has ended and is to be given back.
pub(super) struct Leases {
    pub(super) table: Table,
    pub(super) remote: RedisLeases,
    releases: Arc<ReleaseQueue>,
    lease: Duration,
    replay: Replay<Self>,
}

impl Leases {
    pub(super) fn new(redis: &Redis, limit: &InFlight) -> Arc<Self> {
        let leases = Arc::new_cyclic(|leases: &Weak<Self>| Self {
            table: Table::default(),
            remote: RedisLeases::new(redis, limit),
            releases: Arc::default(),
            lease: limit.lease(),
            replay: Replay::new(redis, leases.clone()),
        });
        redis.spawn(maintain(Arc::downgrade(&leases), leases.tick()));
        leases
    }

    /// After how long Redis hears again of a request that is in flight still.
    pub(super) fn renewal(&self) -> Duration {
        self.lease / 3
    }

    fn tick(&self) -> Duration {
        (self.renewal() / 2).min(LONGEST_TICK)
    }

    /// A request has ended, of which Redis may know; told in the background.
    pub(super) fn release(&self, subject: &Arc<str>, holder: Holder, in_doubt: bool) {
        self.releases.push(subject, Release { holder, ended: Instant::now(), in_doubt });
        // What is in doubt is left to the next tick.
        if !in_doubt {
            self.replay.arm();
        }
    }
}

/// Has what lasts renewed, until the leases are dropped.
async fn maintain(leases: Weak<Leases>, tick: Duration) {
    loop {
        sleep(tick).await;
        let Some(leases) = leases.upgrade() else { return };
        if !leases.table.is_empty() || !leases.releases.is_empty() {
            leases.replay.arm();
        }
    }
}

/// What Redis is to hear of one subject.
pub(super) enum Item {
    Release(ReleaseBatch),
    Renew(Arc<str>, Vec<Holder>),
}

impl Backlog for Leases {
    const STAGE: Option<Stage> = Some(Stage::Counters);
    const NAME: &'static str = "concurrency limits";
    const FEATURE: Feature = Feature::RateLimit;

    type Item = Item;

    /// Whatever Redis has kept, leases may have run out meanwhile.
    fn mark_lost(&self, _: Continuity) {
        self.table.mark_due(Instant::now());
    }

    /// What has ended before what lasts: a page is pushed as a whole before the next, so a lease
    /// that is given back is never renewed after that.
    fn due(&self, cursor: &mut usize) -> Option<Vec<Item>> {
        let now = Instant::now();
        *cursor += 1;
        match *cursor {
            1 => {
                let ended = self.releases.take(now, self.tick(), self.lease);
                Some(ended.into_iter().map(Item::Release).collect())
            }
            2 => {
                let lasting = self.table.due(now).into_iter();
                Some(lasting.map(|(subject, holders)| Item::Renew(subject, holders)).collect())
            }
            _ => None,
        }
    }

    async fn push(&self, connection: &mut Connection, item: Item) -> Result<Pushed, Error> {
        match item {
            Item::Release(batch) => {
                self.remote.release(connection, &batch.subject, &batch.holders()).await?;
                batch.told();
            }
            Item::Renew(subject, holders) => {
                let asked = Instant::now();
                self.remote.renew(connection, &subject, &holders).await?;
                self.table.renewed(&subject, &holders, asked + self.renewal());
            }
        }
        Ok(Pushed::NONE)
    }
}
