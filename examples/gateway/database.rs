//! A real database: SQLite on a thread of its own.

use std::path::Path;

use evenkeel::{Error, ErrorKind};
use tokio_rusqlite::{Connection, rusqlite};

use super::guards_table;

/// Cheap to clone; work waits in one queue for the one connection.
#[derive(Clone)]
pub(crate) struct Database {
    connection: Connection,
}

impl Database {
    /// Opens the file, and makes it if there is none. The error is one of settings: it names the
    /// variable.
    pub(crate) async fn open(path: &Path) -> Result<Self, Error> {
        let refused = |error: &dyn std::fmt::Display| {
            let path = path.display();
            let message = format!(
                "DATABASE_PATH: \"{path}\" cannot be opened ({error}); \
                 expected the path of a SQLite file, or :memory:"
            );
            Error::new(ErrorKind::Config, message)
        };
        let connection = Connection::open(path).await.map_err(|error| refused(&error))?;
        let prepared = connection.call(|connection| {
            // A file of something else is found out by reading it; write-ahead logging lets
            // other processes read meanwhile.
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.execute_batch("CREATE TABLE IF NOT EXISTS gateway (started INTEGER)")?;
            connection.execute_batch(guards_table::SCHEMA)
        });
        prepared.await.map_err(|error| match error {
            tokio_rusqlite::Error::Error(error) => refused(&error),
            error => refused(&error),
        })?;
        Ok(Self { connection })
    }

    /// Runs `work` on the one connection.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut rusqlite::Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, tokio_rusqlite::Error> {
        self.connection.call(work).await
    }

    /// Is it of use? For the health page.
    pub(crate) async fn check(&self) -> Result<(), tokio_rusqlite::Error> {
        let read = |connection: &mut rusqlite::Connection| {
            connection.query_row("SELECT count(*) FROM gateway", (), |_| Ok(()))
        };
        self.call(read).await
    }
}
