//! Reads from Redis what others have revoked: the log of changes, or the whole table where that
//! does not lead to the end.

use std::time::Duration;

use super::shared::Shared;
use crate::{Error, redis::Connection};

/// Reads the log to its end, or the whole table first where an entry is missing.
pub(super) async fn catch_up(shared: &Shared, connection: &mut Connection) -> Result<(), Error> {
    loop {
        if shared.cursor().is_none() {
            let end = shared.remote.end_of_log(connection).await?;
            let mut position = 0;
            while let Some(next) = read_table_page(shared, connection, position).await? {
                position = next;
            }
            shared.advance(None, Some(end));
        }
        if read_log(shared, connection, None).await? {
            return Ok(());
        }
    }
}

/// Reads what comes next in the log; `block`: waits for so long for it. Whether that was its end:
/// then this instance is in step.
pub(super) async fn read_log(
    shared: &Shared,
    connection: &mut Connection,
    block: Option<Duration>,
) -> Result<bool, Error> {
    let Some(from) = shared.cursor() else { return Ok(false) };
    let page = shared.remote.read_log(connection, &from, block).await?;
    shared.insert_all(&page.entries);
    let is_end = page.next.is_some() && page.is_last;
    if shared.advance(Some(&from), page.next) && is_end {
        shared.set_in_step(true);
    }
    Ok(is_end)
}

/// Reads a page of the whole table, and drops from it what has expired. Where the next page begins;
/// `None` after the last.
pub(super) async fn read_table_page(
    shared: &Shared,
    connection: &mut Connection,
    position: u64,
) -> Result<Option<u64>, Error> {
    let page = shared.remote.table_page(connection, position, shared.clock.now()).await?;
    shared.insert_all(&page.entries);
    if !page.expired.is_empty() {
        shared.remote.drop_expired(connection, &page.expired).await?;
    }
    Ok(Some(page.next).filter(|next| *next != 0))
}
