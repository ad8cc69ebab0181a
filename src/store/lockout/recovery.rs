//! Tells Redis what was seen without it: raised there, never lowered.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use super::{
    law::{Change, State},
    store::Inner,
};
use crate::{
    Error,
    health::{Continuity, Recovery},
    redis::Connection,
};

/// Merges under way at once.
const AT_ONCE: usize = 32;
/// Between looks whether Redis is there.
const PAUSE: Duration = Duration::from_millis(200);

impl Inner {
    /// The recovery step. An attempt has a random number, so what is told twice counts once.
    pub(super) async fn recover(
        &self,
        connection: Connection,
        recovery: Recovery,
    ) -> Result<(), Error> {
        self.push(connection, recovery.continuity() != Continuity::Kept).await
    }

    /// Sees to it that Redis is told what it has missed without an outage, too: a timeout, a lost
    /// connection.
    pub(super) fn push_soon(self: &Arc<Self>) {
        if !self.pushing.swap(true, Ordering::AcqRel) {
            let mut watch = self.redis.monitor().watch();
            let store = Arc::downgrade(self);
            drop(tokio::spawn(async move {
                loop {
                    // An error: the time is over, or there is nothing to be told any more.
                    let _ = timeout(PAUSE, watch.changed()).await;
                    let Some(store) = store.upgrade() else { return };
                    if store.redis.monitor().is_available() && store.push_once().await {
                        return;
                    }
                }
            }));
        }
    }

    /// Whether it is done.
    async fn push_once(&self) -> bool {
        // First, so that what is pending from now on is not overlooked.
        self.pushing.store(false, Ordering::Release);
        let pushed = self.push(self.redis.connection(), false).await;
        pushed.is_ok() || self.pushing.swap(true, Ordering::AcqRel)
    }

    /// Tells Redis what is pending, or all that is known.
    async fn push(&self, connection: Connection, all: bool) -> Result<(), Error> {
        let mut part = 0;
        while let Some(pending) = self.local.pending(part, all) {
            let merges = pending.into_iter().map(|(subject, state)| {
                let mut connection = connection.clone();
                async move { self.merge(&mut connection, &subject, state).await }
            });
            stream::iter(merges).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
            part += 1;
        }
        Ok(())
    }

    pub(super) async fn merge(
        &self,
        connection: &mut Connection,
        subject: &str,
        state: State,
    ) -> Result<(), Error> {
        let merge = Change::Merge(state.clone());
        match self.remote.apply(connection, subject, &merge, self.local.now()).await {
            Ok(answer) => {
                self.local.settle(subject, &state, answer);
                self.metrics.merged.add(1);
                Ok(())
            }
            Err(error) if error.is_unavailable() => Err(error),
            // One that Redis does not take blocks no other.
            Err(error) => {
                self.metrics.not_merged.add(1);
                tracing::warn!(%error, "Redis does not take what a lockout knows of a subject");
                Ok(())
            }
        }
    }
}
