//! Every integration test, as one program: it is linked once, and the kit is built once.
//!
//! What counts the allocations or measures the memory of its process is a program of its own beside
//! this folder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod cache;
mod capacity;
mod concurrency_limit;
mod documents;
mod example;
mod grpc_health;
mod guards;
mod health_router;
mod jobs;
mod kit;
mod layers;
mod outages;
mod pubsub;
mod rate_limit;
mod sessions;
mod settings;
mod source_arrows;
mod telemetry_example;
