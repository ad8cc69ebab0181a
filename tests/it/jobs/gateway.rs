//! `GET /jobs` of two gateways on one database, as their clients see it.

use std::{process::Stdio, time::SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rusqlite::Connection;

use super::{
    PATIENCE,
    support::{RedisServer, eventually},
};
use crate::guards::gateway::Gateway;

impl Gateway {
    async fn job(&self) -> Value {
        let answer = self.send("GET", "/jobs", "").await;
        assert_eq!(answer.status, 200);
        let jobs = answer.body["jobs"].as_array().unwrap().clone();
        let pruning = |job: &Value| job["name"] == "prune-guards";
        jobs.into_iter().find(pruning).unwrap()
    }

    async fn has_run_since(&self, moment: &str) -> bool {
        // Moments in this form are in the order of their text.
        self.job().await["last"]["at"].as_str().is_some_and(|at| at > moment)
    }
}

/// As `GET /jobs` writes moments.
fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_where_and_why_not() {
    let server = RedisServer::start().await;
    let disk = TempDir::new().unwrap();
    let interval = [("JOB_INTERVAL", "500ms")];
    let mut gateways = Vec::new();
    for _ in 0..2 {
        let gateway = Gateway::with(&server.url(), &disk, &interval, Stdio::null()).await;
        gateways.push(gateway.ready().await);
    }
    let [a, b] = &gateways[..] else { unreachable!() };

    // The contract's fields, and no others.
    let job = a.job().await;
    let fields: Vec<&String> = job.as_object().unwrap().keys().collect();
    assert_eq!(fields.len(), 6, "{job}");
    assert_eq!(job["interval"], 0.5);
    let is_moment = |at: &Value| at.as_str().is_some_and(|at| humantime::parse_rfc3339(at).is_ok());
    assert!(is_moment(&job["next"]), "{job}");
    let refused = a.send("POST", "/jobs", "").await;
    assert_eq!(refused.status, 405, "{}", refused.body);

    // It does its work: what has expired is deleted, what holds stays.
    let database = Connection::open(disk.path().join("gateway.sqlite3")).await.unwrap();
    let rows = "INSERT INTO guards VALUES ('test', 'expired', '', 1), ('test', 'holds', '', 4e9)";
    database
        .call(move |database| {
            database.busy_timeout(PATIENCE)?;
            database.execute_batch(rows)
        })
        .await
        .unwrap();
    let pruned = eventually(PATIENCE, || async {
        let left = database.call(|database| {
            let select = "SELECT group_concat(key) FROM guards WHERE feature = 'test'";
            database.query_row(select, (), |row| row.get::<_, String>(0))
        });
        left.await.unwrap() == "holds"
    });
    assert!(pruned.await, "{} {}", a.job().await, b.job().await);

    // One of them has run it, and each says what it knows.
    let agreed = eventually(PATIENCE, || async {
        let (a, b) = (a.job().await, b.job().await);
        a["holder"] != b["holder"]
            && (a["last"]["outcome"] == "ran" || b["last"]["outcome"] == "ran")
    });
    assert!(agreed.await, "{} {}", a.job().await, b.job().await);
    let skipped = eventually(PATIENCE, || async {
        let reasons = [a.job().await, b.job().await].map(|job| job["lastSkip"]["reason"].clone());
        reasons.contains(&json!("not-mine"))
    });
    assert!(skipped.await);

    server.kill();
    for gateway in [a, b] {
        let away = eventually(PATIENCE, || async {
            let job = gateway.job().await;
            job["lastSkip"]["reason"] == "redis-away" && job["holder"] == false
        });
        assert!(away.await, "{}", gateway.job().await);
    }

    let back = now();
    server.restart().await;
    let runs = eventually(PATIENCE, || async {
        a.has_run_since(&back).await || b.has_run_since(&back).await
    });
    assert!(runs.await, "{} {}", a.job().await, b.job().await);
}
