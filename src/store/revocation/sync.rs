//! Keeps the local table in step with Redis while it is there.
//!
//! The log of changes is read over a connection of its own that waits for the next entry, so what
//! another instance revokes is known here at once. Its entries are numbered: where a number is
//! missing, and every ten minutes all the same, the whole table is read.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    catch_up::{catch_up, read_log, read_table_page},
    shared::Shared,
};
use crate::{
    Error,
    redis::{Connection, Follower, Loss, Redis, own_connection},
    store::replay::Replay,
};

/// How long one reading of the log waits for something new. A connection that is dead may let this
/// instance miss what others revoke for so long before an outage.
const BLOCK: Duration = Duration::from_millis(250);
/// An answer that is this much later than it should be may have been lost on the way.
const LATE: Duration = Duration::from_millis(100);
/// Between checks of the table.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
const PURGE_INTERVAL: Duration = Duration::from_secs(60);
/// Between the end of a reading of the whole table and the beginning of the next.
const RELOAD_INTERVAL: Duration = Duration::from_secs(600);

pub(super) struct LogFollower {
    pub(super) shared: Arc<Shared>,
    pub(super) replay: Arc<Replay<Shared>>,
}

/// The connection, and when what was last done over it.
pub(super) struct Link {
    connection: Connection,
    checked: Instant,
    purged: Instant,
    reloaded: Instant,
    /// How far the whole table is read; 0 for not begun.
    position: u64,
}

impl Follower for LogFollower {
    const NAME: &'static str = "the log of revocations";

    type Link = Link;

    async fn connect(&self, redis: &Redis) -> Result<Link, Error> {
        let (connection, now) = (own_connection(redis).await?, Instant::now());
        Ok(Link { connection, checked: now, purged: now, reloaded: now, position: 0 })
    }

    async fn resync(&self, link: &mut Link) -> Result<(), Error> {
        self.check_table().await?;
        catch_up(&self.shared, &mut link.connection).await
    }

    async fn next(&self, link: &mut Link, wait: Duration) -> Result<(), Error> {
        let block = wait.min(BLOCK);
        self.read_on(&mut link.connection, block).await?;
        if self.shared.cursor().is_none() {
            // Something is missing in between. Where the whole table takes longer than the
            // supervisor waits for, `resync` reads it.
            self.shared.set_in_step(false);
            catch_up(&self.shared, &mut link.connection).await?;
        }
        self.maintain(link).await
    }

    fn lost(&self, loss: Loss) {
        // During an outage it stays as it was when that began.
        if !loss.is_outage {
            self.shared.set_in_step(false);
        }
    }
}

impl LogFollower {
    async fn read_on(&self, connection: &mut Connection, block: Duration) -> Result<(), Error> {
        let mut reading = pin!(read_log(&self.shared, connection, Some(block)));
        if let Ok(read) = timeout(block + LATE, &mut reading).await {
            return read.map(drop);
        }
        // Is it Redis, or only this connection? While others are answered, something may be missed
        // on this one. The answer, should it come after all, makes up for that.
        if self.check_table().await.is_ok() {
            self.shared.set_in_step(false);
        }
        reading.await.map(drop)
    }

    /// Does the table that this instance knows still stand? Somebody may have emptied Redis without
    /// any outage.
    async fn check_table(&self) -> Result<(), Error> {
        let shared = &*self.shared;
        let connection = &mut shared.redis.connection();
        let head = match shared.remote.head(connection).await? {
            Some(head) => head,
            None => shared.remote.open(connection, None).await?,
        };
        let known = shared.table_id();
        if known != 0 && head.table_id != shared.next_table_id() {
            tracing::warn!("Redis has lost its revocations: those known here are pushed again");
        }
        if !shared.found(head) {
            self.replay.arm();
        }
        Ok(())
    }

    async fn maintain(&self, link: &mut Link) -> Result<(), Error> {
        let shared = &*self.shared;
        if link.checked.elapsed() >= CHECK_INTERVAL {
            self.check_table().await?;
            link.checked = Instant::now();
        }
        if link.purged.elapsed() >= PURGE_INTERVAL {
            shared.table.purge(shared.clock.now());
            link.purged = Instant::now();
        }
        // A page at a time: what is new in the log does not wait for the whole table.
        if link.position != 0 || link.reloaded.elapsed() >= RELOAD_INTERVAL {
            let connection = &mut shared.redis.connection();
            let next = read_table_page(shared, connection, link.position).await?;
            link.position = next.unwrap_or(0);
            link.reloaded = Instant::now();
        }
        Ok(())
    }
}
