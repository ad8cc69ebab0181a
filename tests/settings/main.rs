//! Settings that cannot be read are named; secrets never are. The example gateway shows both, as a process of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod bad;
mod gateway;
mod secrets;
