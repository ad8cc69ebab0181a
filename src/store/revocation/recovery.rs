//! Brings to Redis what it does not know.

use std::sync::atomic::Ordering;

use super::{
    inner::Inner,
    memory::SHARDS,
    shard::{Entry, PENDING},
};
use crate::{
    Error,
    health::{Continuity, Recovery},
    redis::Connection,
};

/// Revocations in one call: Redis is held up for about a millisecond by it.
const BATCH: usize = 256;

impl Inner {
    /// The recovery step. What is done stays done when it is cut off, and is not done again.
    pub(super) async fn recover(
        &self,
        mut connection: Connection,
        recovery: Recovery,
    ) -> Result<(), Error> {
        let connection = &mut connection;
        let table_id = self.table_id.load(Ordering::Acquire);
        let mut replaced = None;
        match recovery.continuity() {
            Continuity::Kept => {}
            Continuity::KeptUntil(at) => {
                // Ticks are whole seconds; one more, for what was on its way.
                self.table.mark_pending(self.clock.tick_of(at).saturating_sub(2).max(1));
                self.advance(self.cursor(), None);
            }
            Continuity::Lost => {
                self.table.mark_pending(PENDING);
                self.advance(self.cursor(), None);
                // Other instances notice by the new id.
                replaced = Some(table_id).filter(|table_id| *table_id != 0);
            }
        }
        self.open_and_push(connection, replaced).await?;
        self.catch_up_soon(connection).await
    }

    /// Finds or begins a table, and sees to it that everything known here is in it.
    pub(super) async fn open_and_push(
        &self,
        connection: &mut Connection,
        replaced: Option<u64>,
    ) -> Result<(), Error> {
        let head = self.remote.open(connection, replaced).await?;
        if head.table_id != self.table_id.load(Ordering::Acquire) {
            self.table.mark_pending(PENDING);
            self.advance(self.cursor(), None);
        }
        self.table.redis_has_global_cut_off(head.global_cut_off);
        self.push(connection).await?;
        self.table_id.store(head.table_id, Ordering::Release);
        Ok(())
    }

    /// Pushes what is pending, batch by batch, so that other commands go in between.
    pub(super) async fn push(&self, connection: &mut Connection) -> Result<(), Error> {
        let mut batch: Vec<Entry> = Vec::new();
        for shard in 0..SHARDS {
            batch.extend(self.table.pending(shard).unwrap_or_default());
            while batch.len() >= BATCH {
                let rest = batch.split_off(BATCH);
                self.push_batch(connection, &batch).await?;
                batch = rest;
            }
        }
        if !batch.is_empty() || self.table.pending_global_cut_off().is_some() {
            self.push_batch(connection, &batch).await?;
        }
        Ok(())
    }

    async fn push_batch(&self, connection: &mut Connection, batch: &[Entry]) -> Result<(), Error> {
        let tick = self.clock.tick();
        let global_cut_off = self.table.pending_global_cut_off().unwrap_or(0);
        match self.remote.add(connection, batch, global_cut_off).await {
            Ok((head, new)) => {
                // Without a table it is there for now; the next look begins one and pushes again.
                if head.is_some() {
                    self.table.redis_has_global_cut_off(global_cut_off);
                }
                self.table.confirm(batch, tick);
                self.metrics.pushed(new, batch.len());
                Ok(())
            }
            Err(error) => {
                if !error.is_unavailable() {
                    self.metrics.not_pushed(batch.len());
                }
                Err(error)
            }
        }
    }
}
