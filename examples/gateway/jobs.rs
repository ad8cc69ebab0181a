//! Periodic work of the gateway, and `GET /jobs`, which says what ran here, and why not.

use std::time::Duration;

use axum::{Json, Router, extract::State, routing::get};
use evenkeel::{
    Error,
    jobs::{Jobs, Lease},
    redis::Redis,
};
use serde_json::{Value, json};

use crate::{database::Database, guards_table, seats::Seats};

/// Starts the jobs, each of which one of the gateways on this Redis runs at a time.
pub(crate) fn start(
    redis: &Redis,
    database: &Database,
    seats: &Seats,
    period: Duration,
) -> Result<Jobs, Error> {
    let jobs = Jobs::new(redis);
    let (database, seats) = (database.clone(), seats.clone());
    // What is saved prunes, too, but nothing may be saved for long. This deletes only what has expired, and does so in one statement: a late run does no harm, so the
    // run's token is not needed.
    let prune = move |_| {
        let database = database.clone();
        async move { database.call(|connection| guards_table::prune(connection)).await }
    };
    jobs.every("prune-guards", period, prune).with_single_runner(Lease::DEFAULT).start()?;
    // It writes gates only: a late run may make one refuse too early for a while, and no more.
    let reconcile = move |_| {
        let seats = seats.clone();
        async move { reconcile(&seats).await }
    };
    jobs.every("reconcile-seats", period, reconcile)
        .with_single_runner(Lease::DEFAULT)
        .with_on_recovery(true)
        .start()?;
    Ok(jobs)
}

/// Says what it found where that is anything.
async fn reconcile(seats: &Seats) -> Result<(), String> {
    let found = seats.reconcile().await;
    let (right, mended, failed) = (found.right, found.mended, found.failed);
    if mended + failed > 0 {
        tracing::info!(right, mended, failed, "seats: gates were compared with the database");
    }
    if !found.is_complete {
        return Err("Redis went away in the middle of it".to_owned());
    }
    if failed > 0 { Err(format!("{failed} events could not be looked at")) } else { Ok(()) }
}

pub(crate) fn routes(jobs: Jobs) -> Router {
    Router::new().route("/jobs", get(list)).with_state(jobs)
}

async fn list(State(jobs): State<Jobs>) -> Json<Value> {
    Json(json!({ "jobs": jobs.status() }))
}
