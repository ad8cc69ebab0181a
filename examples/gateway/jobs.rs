//! Periodic work of the gateway, and `GET /jobs`, which says what ran here, and why not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{Json, Router, extract::State, routing::get};
use evenkeel::{
    Error,
    jobs::{Jobs, Lease},
    redis::Redis,
};
use serde_json::{Value, json};

use crate::database::Database;

/// Starts the jobs, each of which one of the gateways on this Redis runs at a time.
pub(crate) fn start(redis: &Redis, database: &Database, period: Duration) -> Result<Jobs, Error> {
    let jobs = Jobs::new(redis);
    let database = database.clone();
    // Deletes only what has expired, and does so in one statement: a late run does no harm, so the
    // run's token is not needed.
    let prune = move |_| {
        let database = database.clone();
        async move { prune_guards(&database).await }
    };
    jobs.every("prune-guards", period, prune).with_single_runner(Lease::DEFAULT).start()?;
    Ok(jobs)
}

/// Revocations and locks that have expired. What is saved deletes them, too, but nothing may be
/// saved for long.
async fn prune_guards(database: &Database) -> Result<(), tokio_rusqlite::Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let delete = "DELETE FROM guards WHERE until < ?1";
    database.call(move |connection| connection.execute(delete, [now]).map(drop)).await
}

pub(crate) fn routes(jobs: Jobs) -> Router {
    Router::new().route("/jobs", get(list)).with_state(jobs)
}

async fn list(State(jobs): State<Jobs>) -> Json<Value> {
    Json(json!({ "jobs": jobs.status() }))
}
