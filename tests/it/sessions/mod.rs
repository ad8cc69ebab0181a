//! Sessions through outages: two instances on one server, each behind a proxy of its own.

mod adaptor;
mod app;
mod applications;
mod bad_input;
mod client;
mod cookies;
#[path = "../../../examples/gateway/database.rs"]
#[allow(dead_code)]
mod database;
mod degraded;
mod eviction;
mod floods;
mod gateway;
mod gone_clients;
#[path = "../../../examples/gateway/guards_table.rs"]
mod guards_table;
mod healthy;
#[path = "../../../examples/gateway/login_guard.rs"]
mod login_guard;
mod logout;
mod loss;
mod restored;
mod subjects;
mod types;
mod upgrade;

use crate::support;
