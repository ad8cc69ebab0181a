//! What was ended here is brought to Redis, before anybody is told that Redis is back.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream};

use super::{
    end::AT_ONCE,
    expiry::{millis, wall},
    id::SessionName,
    law::LossWindow,
    metrics::Replayed,
    store::Inner,
    tombstones::Tombstone,
};
use crate::{
    Error,
    health::{Continuity, Recovery},
    redis::Connection,
};

/// How soon it is tried to bring to Redis what one answer that was lost has left behind; then half as often each time.
const SOON: Duration = Duration::from_millis(100);
const AT_LAST: Duration = Duration::from_secs(30);

enum Item {
    Session(SessionName),
    Unverified(SessionName, Tombstone),
    Subject(SessionName, Tombstone),
}

impl Inner {
    /// The recovery step.
    pub(super) async fn bring_up_to_date(
        &self,
        connection: Connection,
        recovery: &Recovery,
    ) -> Result<(), Error> {
        self.snapshots.forget_all();
        let now = wall();
        // Noted first, so that what was pushed before an attempt was cut off need not be pushed again.
        match recovery.continuity() {
            Continuity::Kept => {}
            Continuity::KeptUntil(at) => {
                // What was beaten then is there; what was written in the same moment may not be.
                let from = now.saturating_sub(millis(at.elapsed())).saturating_sub(1_000);
                self.memory.loss_window(LossWindow { from, to: now });
                self.memory.ended().lost(from);
            }
            Continuity::Lost => self.memory.ended().lost(0),
        }
        let set_aside = self.push(&connection).await?;
        if set_aside > 0 {
            tracing::warn!(
                set_aside,
                "Redis does not take some logouts: they hold on this instance only"
            );
        }
        Ok(())
    }

    /// Brings to Redis what it does not know. One that Redis will not take is set aside and counted; that Redis is away ends it.
    async fn push(&self, connection: &Connection) -> Result<u64, Error> {
        let now = wall();
        let items: Vec<Item> = {
            let mut ended = self.memory.ended();
            let subjects = ended.subjects.due(now).into_iter();
            let unverified = ended.unverified.due(now).into_iter();
            let sessions = ended.sessions.due(now).into_iter();
            (subjects.map(|(name, tombstone)| Item::Subject(name, tombstone)))
                .chain(unverified.map(|(name, tombstone)| Item::Unverified(name, tombstone)))
                .chain(sessions.map(|(name, _)| Item::Session(name)))
                .collect()
        };
        let mut pushes = stream::iter(items)
            .map(|item| self.push_one(connection.clone(), item))
            .buffer_unordered(AT_ONCE);
        let mut set_aside = 0;
        while let Some(pushed) = pushes.next().await {
            match pushed {
                Ok(()) => self.metrics.replayed(Replayed::Applied, 1),
                Err(error) if error.is_unavailable() => return Err(error),
                Err(_) => {
                    self.metrics.replayed(Replayed::Failed, 1);
                    set_aside += 1;
                }
            }
        }
        Ok(set_aside)
    }

    async fn push_one(&self, mut connection: Connection, item: Item) -> Result<(), Error> {
        match item {
            Item::Session(name) => self.delete_ended(&mut connection, name, true).await.map(|_| ()),
            Item::Unverified(name, tombstone) => {
                let stands = tombstone.until.saturating_sub(wall());
                self.records.delete(&mut connection, name, stands, true, None).await?;
                self.memory.ended().unverified.pushed(name, tombstone.at);
                Ok(())
            }
            Item::Subject(name, tombstone) => {
                self.push_subject(&mut connection, name, tombstone, true).await.map(|_| ())
            }
        }
    }

    /// An outage ends with a recovery; a single answer that was lost does not. So what is pending is also tried from a task,
    /// one at most, until nothing is.
    pub(super) fn push_later(&self, this: &Arc<Self>) {
        if !self.memory.has_pending() || self.is_pushing.swap(true, Ordering::AcqRel) {
            return;
        }
        let weak = Arc::downgrade(this);
        tokio::spawn(async move {
            let mut pause = SOON;
            loop {
                tokio::time::sleep(pause).await;
                let Some(store) = weak.upgrade() else { return };
                if store.switch.is_up() {
                    // What is not done is still pending.
                    let _ = store.push(&store.redis.connection()).await;
                }
                if store.is_done_pushing() {
                    return;
                }
                pause = (pause * 2).min(AT_LAST);
            }
        });
    }

    /// Nothing is pending, and whoever notes something from now on begins anew.
    fn is_done_pushing(&self) -> bool {
        if self.memory.has_pending() {
            return false;
        }
        self.is_pushing.store(false, Ordering::Release);
        // Noted in between: go on, unless somebody has begun anew.
        !self.memory.has_pending() || self.is_pushing.swap(true, Ordering::AcqRel)
    }
}
