//! Keeps the local table in step with Redis while it is there.
//!
//! The log of changes is read over a connection of its own that waits for the next entry, so what another instance
//! revokes is known here at once. Its entries are numbered: where a number is missing, and every ten minutes all the same, the
//! whole table is read.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{
    inner::Inner,
    redis::Cursor,
    shard::{Entry, PENDING},
};
use crate::{Error, ErrorKind, redis::Connection};

/// How long one reading of the log waits for something new.
const BLOCK: Duration = Duration::from_secs(1);
/// For an answer beyond that.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);
/// Between looks at the head of the table.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const PURGE_INTERVAL: Duration = Duration::from_secs(60);
const RELOAD_INTERVAL: Duration = Duration::from_secs(600);
/// After a failure that is not an outage.
const PAUSE: Duration = Duration::from_millis(100);
const LONG_PAUSE: Duration = Duration::from_secs(5);

/// The task; ends when it is aborted.
pub(super) async fn follow(store: Arc<Inner>) {
    let mut told = false;
    loop {
        let monitor = store.redis.monitor();
        let mut watch = monitor.watch();
        if watch.wait_for(|_| monitor.is_available()).await.is_err() {
            return;
        }
        let Err(error) = store.follow().await;
        told &= !store.is_in_step();
        // During an outage it stays as it was when that began. Only this connection may be lost, or the monitor not
        // know yet: asking over the others tells both of us.
        let is_outage = store.check_table().await.is_err_and(|error| error.is_unavailable());
        if !is_outage {
            store.set_in_step(false);
        }
        if error.is_unavailable() {
            tracing::debug!(%error, "the log of revocations is not being read");
            sleep(PAUSE).await;
            continue;
        }
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(%error, "Redis does not serve revocations: this instance is not in step");
        }
        sleep(LONG_PAUSE).await;
    }
}

enum Never {}

impl Inner {
    async fn follow(&self) -> Result<Never, Error> {
        let mut own = self.redis.dedicated(BLOCK + ANSWER_MARGIN).await?;
        self.check_table().await?;
        self.catch_up(&mut own).await?;
        let (mut checked, mut purged, mut whole) = (Instant::now(), Instant::now(), Instant::now());
        loop {
            tokio::select! {
                read = self.read_log(&mut own, Some(BLOCK)) => {
                    // Is it Redis, or only this connection? Asking over the others tells the monitor, too.
                    if read.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout) {
                        self.check_table().await?;
                    }
                    if !read? {
                        self.catch_up(&mut own).await?;
                    }
                }
                () = self.wake.notified() => checked -= CHECK_INTERVAL,
            }
            if checked.elapsed() >= CHECK_INTERVAL {
                self.check_table().await?;
                checked = Instant::now();
                if self.cursor().is_none() {
                    self.catch_up(&mut own).await?;
                }
            }
            if purged.elapsed() >= PURGE_INTERVAL {
                self.table.purge(self.clock.now());
                purged = Instant::now();
            }
            if whole.elapsed() >= RELOAD_INTERVAL {
                self.load(&mut self.redis.connection()).await?;
                whole = Instant::now();
            }
        }
    }

    /// Reads the log to its end, or the whole table where that does not lead there.
    pub(super) async fn catch_up(&self, connection: &mut Connection) -> Result<(), Error> {
        loop {
            if self.cursor().is_none() {
                let end = self.remote.end_of_log(connection).await?;
                self.load(connection).await?;
                self.advance(None, Some(end));
            }
            if self.read_log(connection, None).await? {
                return Ok(());
            }
        }
    }

    /// [`catch_up`](Self::catch_up), for as long as a recovery can wait; the task does the rest.
    pub(super) async fn catch_up_soon(&self, connection: &mut Connection) -> Result<(), Error> {
        const SOON: Duration = Duration::from_secs(1);
        match timeout(SOON, self.catch_up(connection)).await {
            Ok(done) => done,
            Err(_elapsed) => {
                self.set_in_step(false);
                Ok(())
            }
        }
    }

    /// Reads what comes next in the log. Whether that was its end.
    async fn read_log(
        &self,
        connection: &mut Connection,
        block: Option<Duration>,
    ) -> Result<bool, Error> {
        let Some(from) = self.cursor() else { return Ok(false) };
        let block = block.map(|block| block.as_millis() as u64);
        let page = self.remote.read_log(connection, &from, block).await?;
        self.insert_all(&page.entries);
        let is_end = page.next.is_some() && page.is_last;
        if self.advance(Some(from), page.next) && is_end {
            self.set_in_step(true);
        }
        Ok(is_end)
    }

    /// Reads the whole table, and drops from it what has expired.
    async fn load(&self, connection: &mut Connection) -> Result<(), Error> {
        let mut cursor = 0;
        loop {
            let part = self.remote.part(connection, cursor, self.clock.now()).await?;
            self.insert_all(&part.entries);
            if !part.expired.is_empty() {
                self.remote.drop_expired(connection, &part.expired).await?;
            }
            cursor = part.next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    fn insert_all(&self, entries: &[Entry]) {
        let (tick, now) = (self.clock.tick(), self.clock.latest());
        for entry in entries {
            self.table.insert(*entry, tick, now);
        }
    }

    /// Does the table that we know still stand? Somebody may have emptied Redis without any outage. And is there
    /// anything that Redis does not know yet?
    async fn check_table(&self) -> Result<(), Error> {
        let connection = &mut self.redis.connection();
        match self.remote.head(connection).await? {
            Some(head) if head.table_id == self.table_id.load(Ordering::Acquire) => {
                self.table.redis_has_global_cut_off(head.global_cut_off);
                self.push(connection).await
            }
            _ => {
                tracing::warn!("Redis has lost its revocations: those known here are pushed again");
                self.table.mark_pending(PENDING);
                self.advance(self.cursor(), None);
                self.open_and_push(connection, None).await
            }
        }
    }

    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.cursor.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Moves the cursor, unless somebody else has moved it meanwhile.
    pub(super) fn advance(&self, from: Option<Cursor>, to: Option<Cursor>) -> bool {
        let mut cursor = self.cursor.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let unmoved = *cursor == from;
        if unmoved {
            *cursor = to;
        }
        unmoved
    }
}
