//! The test kit: real Redis servers, a proxy that breaks the wire on demand, and log capture.
//!
//! The integration tests of `tests/it` include it once; `tests/resources.rs` and the benchmarks use
//! a part of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![forbid(unsafe_code)]

mod cluster;
mod fault;
mod launch;
mod logs;
mod pipe;
mod ports;
mod process;
mod proxy;
mod resp;
mod sentinel;
mod server;
mod tls;
mod wait;

pub(crate) use cluster::Cluster;
pub(crate) use fault::Fault;
pub(crate) use logs::LogCapture;
pub(crate) use ports::{Port, free_port};
pub(crate) use proxy::FaultProxy;
pub(crate) use resp::{Frame, Framer};
pub(crate) use sentinel::Sentinel;
pub(crate) use server::RedisServer;
pub(crate) use tls::Certificates;
pub(crate) use wait::eventually;
