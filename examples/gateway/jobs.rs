//! Periodic work of the gateway, and `GET /jobs`, which says what ran here, and why not.

use std::time::Duration;

use axum::{Json, Router, extract::State, routing::get};
use evenkeel::{
    Error,
    jobs::{Jobs, Lease},
    redis::Redis,
};
use serde_json::{Value, json};

use crate::{database::Database, guards_table};

/// Starts the jobs, each of which one of the gateways on this Redis runs at a time.
pub(crate) fn start(redis: &Redis, database: &Database, period: Duration) -> Result<Jobs, Error> {
    let jobs = Jobs::new(redis);
    let database = database.clone();
    // What is saved prunes, too, but nothing may be saved for long. This deletes only what has expired, and does so in one statement: a late run does no harm, so the
    // run's token is not needed.
    let prune = move |_| {
        let database = database.clone();
        async move { database.call(|connection| guards_table::prune(connection)).await }
    };
    jobs.every("prune-guards", period, prune).with_single_runner(Lease::DEFAULT).start()?;
    Ok(jobs)
}

pub(crate) fn routes(jobs: Jobs) -> Router {
    Router::new().route("/jobs", get(list)).with_state(jobs)
}

async fn list(State(jobs): State<Jobs>) -> Json<Value> {
    Json(json!({ "jobs": jobs.status() }))
}
