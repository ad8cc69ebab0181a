//! Sessions through outages: two instances on one server, each behind a proxy of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adaptor;
mod app;
mod bad_input;
mod client;
mod degraded;
mod gateway;
mod healthy;
mod logout;
mod loss;
mod subjects;
#[path = "../support/mod.rs"]
mod support;
