//! What Redis has not been told of the revocations, and how it is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;

use super::{
    catch_up::catch_up,
    shard::{Entry, PENDING},
    shared::Shared,
};
use crate::{
    Error,
    health::{Continuity, Recovery, Stage},
    redis::Connection,
    store::replay::{Backlog, Pushed},
    telemetry::Feature,
};

/// Revocations in one call: it holds Redis up for about a millisecond.
const BATCH: usize = 256;
/// How long reading what others have revoked may hold up a recovery; the follower does the rest.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(1);

pub(super) struct RevocationBacklog {
    shared: Arc<Shared>,
    /// The table that the running pass fills.
    filling: AtomicU64,
    /// Redis has refused a part of it.
    refused: AtomicBool,
}

impl RevocationBacklog {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let shared = Arc::clone(shared);
        Self { shared, filling: AtomicU64::new(0), refused: AtomicBool::new(false) }
    }
}

impl Backlog for RevocationBacklog {
    const STAGE: Option<Stage> = Some(Stage::Guards);
    const NAME: &'static str = "revocations";
    const FEATURE: Feature = Feature::Revocation;
    /// Batch after batch, so that other commands go in between.
    const IN_FLIGHT: usize = 1;

    type Item = Vec<Entry>;

    fn mark_lost(&self, continuity: Continuity) {
        let shared = &self.shared;
        match continuity {
            Continuity::Kept => {}
            Continuity::KeptUntil(at) => {
                // Ticks are whole seconds; one more, for what was on its way.
                let since = shared.clock.tick_of(at).saturating_sub(2).max(1);
                shared.mark_pending_from(since);
            }
            Continuity::Lost => shared.mark_pending_from(PENDING),
        }
    }

    async fn before(&self, connection: &mut Connection, recovery: &Recovery) -> Result<(), Error> {
        // A new id tells the other instances that data was lost.
        let lost = recovery.continuity() == Continuity::Lost;
        let replaced = Some(self.shared.table_id()).filter(|id| lost && *id != 0);
        let head = self.shared.remote.open(connection, replaced).await?;
        self.shared.found(head);
        Ok(())
    }

    fn due(&self, cursor: &mut usize) -> Option<Vec<Vec<Entry>>> {
        let shared = &self.shared;
        let mut page = Vec::new();
        if *cursor == 0 {
            self.filling.store(shared.next_table_id(), Ordering::Relaxed);
            self.refused.store(false, Ordering::Relaxed);
            if shared.table.pending_global_cut_off().is_some() {
                page.push(Vec::new());
            }
        }
        let mut entries = Vec::new();
        while entries.len() < BATCH
            && let Some(pending) = shared.table.pending(*cursor)
        {
            entries.extend(pending);
            *cursor += 1;
        }
        page.extend(entries.chunks(BATCH).map(<[Entry]>::to_vec));
        if page.is_empty() {
            // The end of the table, and every page before was pushed.
            if !self.refused.load(Ordering::Relaxed) {
                shared.filled(self.filling.load(Ordering::Relaxed));
            }
            return None;
        }
        Some(page)
    }

    async fn push(&self, connection: &mut Connection, batch: Vec<Entry>) -> Result<Pushed, Error> {
        let Shared { table, remote, clock, .. } = &*self.shared;
        let tick = clock.tick();
        let global_cut_off = table.pending_global_cut_off().unwrap_or(0);
        let added = remote.add(connection, &batch, global_cut_off).await.inspect_err(|error| {
            self.refused.fetch_or(!error.is_unavailable(), Ordering::Relaxed);
        });
        let (head, applied) = added?;
        // Without a table it is there for now; the next check begins one, and it is pushed again.
        if head.is_some() {
            table.redis_has_global_cut_off(global_cut_off);
        }
        table.confirm(&batch, tick);
        let (applied, all) = (applied as u64, batch.len() as u64);
        Ok(Pushed { applied, discarded: all.saturating_sub(applied) })
    }

    async fn after(&self, connection: &mut Connection, _: &Recovery) -> Result<(), Error> {
        match timeout(CATCH_UP_LIMIT, catch_up(&self.shared, connection)).await {
            Ok(caught_up) => caught_up,
            Err(_elapsed) => {
                self.shared.set_in_step(false);
                Ok(())
            }
        }
    }
}
