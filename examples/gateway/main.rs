//! A gateway that lives through a Redis outage: `cargo run --release --example gateway`.
//!
//! It starts with or without Redis, prints the URLs to try, and stops on Ctrl-C or SIGTERM once the
//! open requests are answered. `GET /` lists the routes; `settings.rs` and
//! `evenkeel::redis::RedisConfig` have the settings.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

mod app;
mod database;
#[path = "../support/env.rs"]
mod env;
mod errors;
mod greeting;
mod guards_table;
mod items;
mod items_table;
mod jobs;
mod limited;
mod login_guard;
mod pages;
mod redis_routes;
mod seats;
mod seats_table;
mod sessions;
mod settings;
mod shutdown;
mod tokens;

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use evenkeel::{
    layer::SessionLayer,
    redis::Redis,
    store::{revocation::Revocations, session::SessionKeys},
};
use tokio::net::TcpListener;

use crate::{
    app::App, database::Database, items::Items, login_guard::LoginGuard, seats::Seats,
    settings::Settings, tokens::TokenKeys,
};

/// The exit status for settings that cannot be used.
const BAD_SETTINGS: u8 = 2;
/// How long a run of a job may go on after SIGTERM.
const JOBS_GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(error) => return fail(BAD_SETTINGS, &error),
    };
    settings.start_log();
    let database = match Database::open(&settings.database_path).await {
        Ok(database) => database,
        Err(error) => return fail(BAD_SETTINGS, &error),
    };
    // After the log was started: that there are no keys is worth a line in it.
    let keys = match SessionKeys::from_env() {
        Ok(keys) => keys,
        Err(error) => return fail(BAD_SETTINGS, &error),
    };
    match serve(settings, keys, database).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &*error),
    }
}

async fn serve(
    settings: Settings,
    keys: SessionKeys,
    database: Database,
) -> Result<(), Box<dyn std::error::Error>> {
    let Settings {
        listen_addr,
        redis,
        rate_limit,
        trusted_proxies,
        metrics,
        insecure_cookies,
        session_keys,
        job_interval,
        ..
    } = settings;
    let redis = Redis::new(redis)?;
    let mut sessions =
        SessionLayer::new(&redis, keys).with_stateless_keys(sessions::STATELESS_KEYS);
    if insecure_cookies {
        tracing::warn!(
            "SESSION_COOKIES=insecure: cookies go without Secure and __Host-, so whoever listens on \
             the wire has the session"
        );
        sessions = sessions.with_insecure_cookies();
    }
    // What was revoked or locked before a restart counts from the first request on.
    let revocations = Revocations::builder(&redis).with_journal(database.clone()).build().await?;
    let login_guard = LoginGuard::new(&redis, &database).await?;
    let items = Items::open(&redis, &database).await?;
    let seats = Seats::open(&redis, &database).await?;
    let jobs = jobs::start(&redis, &database, &seats, job_interval)?;
    let token_keys = TokenKeys::derived_from(session_keys.as_deref());
    let app = App {
        redis,
        database,
        rate_limit,
        trusted_proxies,
        sessions,
        revocations,
        token_keys,
        login_guard,
        items,
        seats,
        jobs,
        metrics,
    };

    let listener = TcpListener::bind(listen_addr)
        .await
        .map_err(|error| format!("LISTEN_ADDR: cannot listen on {listen_addr}: {error}"))?;
    greeting::urls(listener.local_addr()?, app.metrics.is_some());
    let verdict = tokio::spawn(greeting::redis(app.redis.monitor().clone()));

    let service = app.router().into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(shutdown::asked_for()).await?;
    verdict.abort();
    // Before Redis: leases are given back through it.
    app.jobs.shutdown(JOBS_GRACE).await;
    app.redis.monitor().shutdown().await;
    println!("stopped");
    Ok(())
}

fn fail(status: u8, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("gateway: {error}");
    ExitCode::from(status)
}
