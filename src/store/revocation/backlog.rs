//! What Redis has not been told of the revocations, and how it is told.

use std::{sync::atomic::Ordering, time::Duration};

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

impl Backlog for Shared {
    const STAGE: Option<Stage> = Some(Stage::Guards);
    const NAME: &'static str = "revocations";
    // Not by evictions: the table is one key, so it goes as a whole or not at all, and twice a
    // second it is looked for.
    const GUARDS: bool = false;
    const FEATURE: Feature = Feature::Revocation;
    /// Batch after batch, so that other commands go in between.
    const IN_FLIGHT: usize = 1;

    type Item = Vec<Entry>;

    fn mark_lost(&self, continuity: Continuity) {
        match continuity {
            Continuity::Kept => {}
            Continuity::KeptUntil(at) => {
                // Ticks are whole seconds; one more, for what was on its way.
                let since = self.clock.tick_of(at).saturating_sub(2).max(1);
                self.mark_pending_from(since);
            }
            Continuity::Lost => self.mark_pending_from(PENDING),
        }
    }

    async fn before(&self, connection: &mut Connection, recovery: &Recovery) -> Result<(), Error> {
        // A new id tells the other instances that data was lost.
        let lost = recovery.continuity() == Continuity::Lost;
        let replaced = Some(self.table_id()).filter(|id| lost && *id != 0);
        let head = self.remote.open(connection, replaced).await?;
        self.found(head);
        Ok(())
    }

    fn due(&self, cursor: &mut usize) -> Option<Vec<Vec<Entry>>> {
        let mut page = Vec::new();
        if *cursor == 0 {
            self.filling.store(self.next_table_id(), Ordering::Relaxed);
            self.refused.store(false, Ordering::Relaxed);
            if self.table.pending_global_cut_off().is_some() {
                page.push(Vec::new());
            }
        }
        let mut entries = Vec::new();
        while entries.len() < BATCH
            && let Some(pending) = self.table.pending(*cursor)
        {
            entries.extend(pending);
            *cursor += 1;
        }
        page.extend(entries.chunks(BATCH).map(<[Entry]>::to_vec));
        if page.is_empty() {
            // The end of the table, and every page before was pushed.
            if !self.refused.load(Ordering::Relaxed) {
                self.filled(self.filling.load(Ordering::Relaxed));
            }
            return None;
        }
        Some(page)
    }

    async fn push(&self, connection: &mut Connection, batch: Vec<Entry>) -> Result<Pushed, Error> {
        let Shared { table, remote, clock, .. } = self;
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
        match timeout(CATCH_UP_LIMIT, catch_up(self, connection)).await {
            Ok(caught_up) => caught_up,
            Err(_elapsed) => {
                self.set_in_step(false);
                Ok(())
            }
        }
    }
}
