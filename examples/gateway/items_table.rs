//! The items, on disk: the truth, whatever the cache says.

use tokio_rusqlite::rusqlite::{self, OptionalExtension, Row, params};

use super::{database::Database, items::Item};

/// A hundred items to begin with.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY, value TEXT NOT NULL, version INTEGER NOT NULL
);
WITH RECURSIVE ids(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < 100)
INSERT OR IGNORE INTO items SELECT id, 'item ' || id, 1 FROM ids";

type Error = tokio_rusqlite::Error<rusqlite::Error>;

impl Database {
    pub(crate) async fn prepare_items(&self) -> Result<(), Error> {
        self.call(|connection| connection.execute_batch(SCHEMA)).await
    }

    pub(crate) async fn item(&self, id: u32) -> Result<Option<Item>, Error> {
        self.call(move |connection| {
            let select = "SELECT id, value, version FROM items WHERE id = ?1";
            connection.prepare_cached(select)?.query_row([id], item).optional()
        })
        .await
    }

    /// Writes the item, and makes it if there is none.
    pub(crate) async fn write_item(&self, id: u32, value: String) -> Result<Item, Error> {
        self.call(move |connection| {
            let upsert = "INSERT INTO items VALUES (?1, ?2, 1) ON CONFLICT (id) DO UPDATE \
                          SET value = excluded.value, version = version + 1 \
                          RETURNING id, value, version";
            connection.prepare_cached(upsert)?.query_row(params![id, value], item)
        })
        .await
    }
}

fn item(row: &Row<'_>) -> Result<Item, rusqlite::Error> {
    Ok(Item { id: row.get(0)?, value: row.get(1)?, version: row.get::<_, u32>(2)?.into() })
}
