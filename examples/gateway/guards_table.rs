//! What guards, on disk: revocations and locks that have to outlive the process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evenkeel::{
    Error, ErrorKind,
    store::{Journal, JournalRecord},
};
use tokio_rusqlite::rusqlite::{self, Connection, params};

use super::database::Database;

pub(crate) const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS guards (
    feature TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (feature, key)
) WITHOUT ROWID";

impl Journal for Database {
    async fn save(&self, record: JournalRecord) -> Result<(), Error> {
        let until = seconds(record.until);
        let saved = self.call(move |connection| {
            prune(connection)?;
            connection.execute(
                "INSERT OR REPLACE INTO guards (feature, key, value, until) \
                 VALUES (?1, ?2, ?3, ?4)",
                params![record.feature, record.key, record.value, until],
            )?;
            Ok(())
        });
        saved.await.map_err(unusable)
    }

    async fn load(&self, feature: &'static str) -> Result<Vec<JournalRecord>, Error> {
        let loaded = self.call(move |connection| {
            let select = "SELECT key, value, until FROM guards WHERE feature = ?1 AND until >= ?2";
            let mut select = connection.prepare(select)?;
            let records =
                select.query_map(params![feature, seconds(SystemTime::now())], |row| {
                    let until = UNIX_EPOCH + Duration::from_secs(row.get::<_, u32>(2)?.into());
                    Ok(JournalRecord::new(
                        feature,
                        row.get::<_, String>(0)?,
                        row.get::<_, String>(1)?,
                        until,
                    ))
                })?;
            records.collect::<Result<Vec<_>, rusqlite::Error>>()
        });
        loaded.await.map_err(unusable)
    }
}

/// Deletes what has expired.
pub(crate) fn prune(connection: &Connection) -> Result<(), rusqlite::Error> {
    let now = seconds(SystemTime::now());
    connection.execute("DELETE FROM guards WHERE until < ?1", [now]).map(drop)
}

fn seconds(at: SystemTime) -> u32 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(since).unwrap_or(u32::MAX)
}

fn unusable(error: tokio_rusqlite::Error<rusqlite::Error>) -> Error {
    Error::new(ErrorKind::Command, format!("the database does not serve: {error}"))
}
