//! What the handle, the follower and the backlog share: this instance's copy of the revocations,
//! and how far it has followed Redis.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{
    clock::Clock,
    memory::{Kept, Table},
    redis::{Cursor, Head, Remote},
    shard::{Entry, PENDING},
};
use crate::redis::Redis;

pub(super) struct Shared {
    pub(super) redis: Redis,
    pub(super) remote: Remote,
    pub(super) table: Table,
    pub(super) clock: Clock,
    /// The table in Redis that holds all that is known here, by its id; 0 for none.
    table_id: AtomicU64,
    /// The table in Redis that is being filled with it; the same as `table_id` once it is.
    next_table_id: AtomicU64,
    /// The table that the running pass of the replay fills.
    pub(super) filling: AtomicU64,
    /// Redis has refused a part of that pass.
    pub(super) refused: AtomicBool,
    cursor: Mutex<Option<Cursor>>,
    /// All that Redis knows is known here, or was when the outage began.
    in_step: AtomicBool,
}

impl Shared {
    pub(super) fn new(redis: &Redis, capacity: usize) -> Self {
        Self {
            redis: redis.clone(),
            remote: Remote::new(redis.namespace()),
            table: Table::new(capacity),
            clock: Clock::start(),
            table_id: AtomicU64::new(0),
            next_table_id: AtomicU64::new(0),
            filling: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            cursor: Mutex::default(),
            in_step: AtomicBool::new(false),
        }
    }

    /// Takes in a revocation that Redis has not been told.
    pub(super) fn insert_pending(&self, entry: Entry) {
        let now = self.clock.latest();
        if self.table.insert(entry, PENDING, now) == Kept::No {
            tracing::error!(
                "no room for a revocation that Redis does not know: all tokens issued until now are revoked"
            );
            self.table.raise_global_cut_off(now + 1);
        }
    }

    /// Takes in what Redis holds.
    pub(super) fn insert_all(&self, entries: &[Entry]) {
        let (tick, now) = (self.clock.tick(), self.clock.latest());
        for entry in entries {
            self.table.insert(*entry, tick, now);
        }
    }

    pub(super) fn table_id(&self) -> u64 {
        self.table_id.load(Ordering::Acquire)
    }

    pub(super) fn next_table_id(&self) -> u64 {
        self.next_table_id.load(Ordering::Acquire)
    }

    /// A table stands in Redis. Whether it holds all that is known here; if not, that is to be
    /// pushed.
    pub(super) fn found(&self, head: Head) -> bool {
        if self.next_table_id() != head.table_id {
            // First, so that a pass which sees the new id sees all that is pending for it.
            self.mark_pending_from(PENDING);
            self.next_table_id.store(head.table_id, Ordering::Release);
        }
        self.table.redis_has_global_cut_off(head.global_cut_off);
        self.table_id() == head.table_id
    }

    /// All that is known here was pushed to this table, unless another one was found meanwhile.
    pub(super) fn filled(&self, table_id: u64) {
        if self.next_table_id() == table_id {
            self.table_id.store(table_id, Ordering::Release);
        }
    }

    /// Redis may have lost what it was told at `since` or later, and its log does not tell.
    pub(super) fn mark_pending_from(&self, since: u32) {
        self.table.mark_pending(since);
        *self.cursor.lock() = None;
    }

    pub(super) fn is_in_step(&self) -> bool {
        self.in_step.load(Ordering::Acquire)
    }

    pub(super) fn set_in_step(&self, in_step: bool) {
        self.in_step.store(in_step, Ordering::Release);
    }

    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.cursor.lock().clone()
    }

    /// Moves the cursor, unless somebody else has moved it meanwhile.
    pub(super) fn advance(&self, from: Option<&Cursor>, to: Option<Cursor>) -> bool {
        let mut cursor = self.cursor.lock();
        let unmoved = cursor.as_ref() == from;
        if unmoved {
            *cursor = to;
        }
        unmoved
    }
}
