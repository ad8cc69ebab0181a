//! Everything that knows the Redis client: a handle that never waits longer than it was told to.
//!
//! [`Redis`] shares a few connections among all callers, gives every command a deadline, refuses
//! at once while Redis is away, and tells its [`HealthMonitor`](crate::health::HealthMonitor) what it meets.

mod call;
mod canary;
mod carrier;
mod classify;
mod commands;
mod config;
mod connection;
mod epoch;
#[allow(dead_code)]
mod follow;
mod handle;
mod hedge;
mod lanes;
mod meter;
mod probe;
mod registry;
mod script;
mod source;
mod url;

pub use config::RedisConfig;
pub use connection::Connection;
#[allow(unused_imports)]
pub(crate) use follow::{Follower, Following, Loss, own_connection};
pub use handle::Redis;
pub use script::{Invocation, Script};
pub use source::Pool;
pub use url::{RedisUrl, Topology};

/// The pools that a [`Redis`] can be made over, and with them the client (`deadpool_redis::redis`): commands, pipelines and
/// types to use with a [`Connection`].
pub use deadpool_redis;

/// What stores need of the client to write their commands; they know it under this name only.
pub(crate) use deadpool_redis::redis as client;
