//! The test kit: real Redis servers, a proxy that breaks the wire on demand, and log capture.
//!
//! Each integration test includes it with `mod support;` and uses the part that it needs.
#![allow(dead_code, unused_imports, unreachable_pub)]
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
mod wait;

pub use cluster::Cluster;
pub use fault::Fault;
pub use launch::RedisServerBuilder;
pub use logs::{LogCapture, LogLine};
pub use ports::{Port, free_port};
pub use proxy::FaultProxy;
pub use resp::{Frame, Framer};
pub use sentinel::Sentinel;
pub use server::{Dump, RedisServer};
pub use wait::eventually;
