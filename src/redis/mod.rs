//! Everything that knows the Redis client: a handle on which nothing waits longer than its
//! deadline.
//!
//! [`Redis`] shares a few connections among all callers, gives every command a deadline, refuses at
//! once while Redis is away, and reports what it meets to its
//! [`HealthMonitor`](crate::health::HealthMonitor).
//!
//! ```text
//! Redis (handle) ── Connection ── call ──► SharedConnections ──► Conn ──► coalesce ──► server
//!   │                                            ▲
//!   ├── RedisProbe: PING, write probe ───────────┘ replaces the dead ones
//!   └── subscribe ── follow: a supervised connection of its own that listens
//! ```

mod call;
#[cfg(feature = "tls")]
mod certificates;
mod check;
mod classify;
mod coalesce;
mod commands;
mod config;
mod conn;
mod connect;
mod connection;
mod connections;
mod epoch;
mod evictions;
mod follow;
mod from_env;
mod handle;
mod handshakes;
mod heartbeats;
mod hedge;
mod judge;
mod listen;
mod listener;
mod mailbox;
mod metrics;
mod pauses;
mod pem;
mod plan;
mod pool;
mod probe;
mod recovery;
mod refusals;
mod registry;
mod relay;
mod rights;
mod script;
#[cfg(feature = "sentinel")]
mod sentinels;
mod server;
mod shared;
mod source;
mod subscribe;
mod target;
mod topology;
mod url;
mod url_text;
mod write_probe;

pub use config::RedisConfig;
pub use connection::Connection;
pub(crate) use follow::{Follower, Following, Loss, own_connection};
pub use handle::Redis;
pub use mailbox::{Message, SubscriptionEvent};
pub use pool::Pool;
pub(crate) use relay::{Audience, Relay, Topic};
pub(crate) use rights::Need;
pub use script::{Invocation, Script};
pub use subscribe::{Subscribe, Subscription};
pub use topology::Topology;
pub use url::RedisUrl;

/// The pools that a [`Redis`] can be made over: `deadpool-redis` 0.23.
pub use deadpool_redis;

/// The client: commands, pipelines and types to use with a [`Connection`]. It is the crate `redis`,
/// version 1.8, which an application need not depend on by itself: with another version of it, its
/// commands would be of another type.
///
/// ```
/// use evenkeel::redis::{Redis, client::AsyncCommands};
///
/// # async fn demo(redis: &Redis) -> Result<(), evenkeel::redis::client::RedisError> {
/// let mut connection = redis.connection();
/// let _: () = connection.set_ex("greeting", "hello", 60).await?;
/// # Ok(())
/// # }
/// ```
pub use deadpool_redis::redis as client;
