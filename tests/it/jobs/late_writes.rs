//! A late write of a run that has lost its lease is refused where it lands, by the three lines of
//! SQL that `docs/capacity-and-jobs.md` gives.

use std::time::Duration;

use evenkeel::jobs::{Cancelled, Lost, Run};
use tempfile::TempDir;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_rusqlite::{Connection, rusqlite::params};

use super::{
    History, Instance, LEASE, PATIENCE,
    support::{Fault, FaultProxy, RedisServer},
};

/// The table that is written to, in a database that several processes may have open.
pub(super) async fn open(disk: &TempDir) -> Connection {
    open_at(&disk.path().join("reports.sqlite3")).await
}

pub(super) async fn open_at(path: &std::path::Path) -> Connection {
    let database = Connection::open(path).await.unwrap();
    let prepare = database.call(|database| {
        database.busy_timeout(PATIENCE)?;
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "off")?;
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS reports (id INTEGER PRIMARY KEY, body, fence INTEGER);
             INSERT OR IGNORE INTO reports VALUES (1, 'none', 0);",
        )
    });
    prepare.await.unwrap();
    database
}

/// Writes for a run. `false`: a later run has written.
pub(super) async fn write(database: &Connection, body: &str, fence: u64) -> bool {
    let body = body.to_owned();
    let write = database.call(move |database| {
        database.execute(
            "UPDATE reports SET body = ?1, fence = ?2
             WHERE id = ?3
               AND fence <= ?2",
            params![body, fence as i64, 1],
        )
    });
    write.await.unwrap() == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn the_write_of_a_run_that_has_lost_its_lease_is_refused() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let disk = TempDir::new().unwrap();
    let database = open(&disk).await;
    let history = History::default();
    let a = Instance::at(&proxy.url(), "a", &history).ready().await;
    let b = Instance::at(&server.url(), "b", &history).ready().await;

    // A run that looks at its lease, and writes only when it is told to.
    let (runs, mut running) = mpsc::channel(1);
    let of_a = a.jobs.every("job", Duration::from_millis(200), move |run: Run| {
        let runs = runs.clone();
        async move {
            run.still_mine().map_err(|lost| lost.to_string())?;
            runs.send(run).await.unwrap();
            sleep(PATIENCE).await;
            Ok::<(), String>(())
        }
    });
    of_a.with_single_runner(LEASE).start().unwrap();
    let run = timeout(PATIENCE, running.recv()).await.unwrap().unwrap();
    assert_eq!((run.still_mine(), run.is_cancelled()), (Ok(()), None));
    assert!(write(&database, "early", run.fence().get()).await);

    proxy.set(Fault::BlackHole).await;
    b.job(Duration::from_millis(200), Duration::ZERO).with_single_runner(LEASE).start().unwrap();
    assert_eq!(timeout(PATIENCE, run.cancelled()).await.unwrap(), Cancelled::Lost);
    assert_eq!(run.still_mine(), Err(Lost));
    history.reaches(1).await;
    let later = history.all()[0].fence;
    assert!(later > run.fence().get());
    assert!(write(&database, "of B", later).await);
    assert!(!write(&database, "late", run.fence().get()).await);
    assert!(write(&database, "of B again", later).await, "the run itself may write twice");
    // `each` does nothing more for a run that is to end.
    let tally = run.each(0..5, |_| async { Ok::<(), String>(()) }).await;
    assert_eq!((tally.done, tally.interrupted), (0, true));
}
