//! Layers for any `http` stack: axum, hyper, tonic, a bare [`ServiceBuilder`](tower::ServiceBuilder).
//!
//! A layer asks the [`HealthMonitor`](crate::health::HealthMonitor) or a store, never Redis itself. None changes the error type of the
//! service that it wraps, each calls the very service that was polled ready, and every response future has a name.
//!
//! | layer | what it does while Redis is away |
//! | --- | --- |
//! | [`CheckRedisLayer`] | tells the handler, who decides |
//! | [`RequireRedisLayer`] | refuses: 503 |
//! | `RateLimitLayer` (feature `redis`) | decides in memory, on this instance's share of the limit |
//! | `ConcurrencyLimitLayer` (feature `redis`) | counts in memory, on this instance's share of the limit |
//! | `SessionLayer` (feature `session`) | continues sessions from a sealed cookie |
//! | `RevocationLayer` (feature `redis`) | refuses what is known to be revoked, and what cannot be judged unless told otherwise |
//!
//! ```
//! use evenkeel::{
//!     health::HealthMonitor,
//!     layer::{CheckRedisLayer, RequireRedisLayer},
//! };
//! use tower::ServiceBuilder;
//!
//! # fn demo<S>(monitor: &HealthMonitor, handler: S) {
//! let service = ServiceBuilder::new()
//!     .layer(CheckRedisLayer::new(monitor))
//!     .layer(RequireRedisLayer::new(monitor))
//!     .service(handler);
//! # }
//! ```
//!
//! # When Redis is down
//!
//! No layer does I/O while the outage is known. Each gives the request one
//! [budget](crate::health::RequestBudget): however many stores it uses further in, it waits for Redis once.

mod check_redis;
#[cfg(feature = "redis")]
pub mod client_key;
#[cfg(feature = "redis")]
pub mod concurrency_limit;
mod gate;
#[cfg(feature = "redis")]
pub mod rate_limit;
#[cfg(feature = "redis")]
mod request_head;
mod require_redis;
#[cfg(feature = "redis")]
pub mod revocation;
#[cfg(feature = "session")]
mod session;

#[cfg(feature = "axum")]
pub use check_redis::RedisStatusMissing;
pub use check_redis::{CheckRedis, CheckRedisLayer, RedisStatus};
#[cfg(feature = "redis")]
pub use concurrency_limit::{ConcurrencyLimit, ConcurrencyLimitLayer};
#[cfg(feature = "redis")]
pub use gate::Gate;
pub use gate::GateFuture;
#[cfg(feature = "redis")]
pub use rate_limit::{RateLimit, RateLimitLayer};
#[cfg(feature = "redis")]
pub use request_head::RequestHead;
pub use require_redis::{RequireRedis, RequireRedisFuture, RequireRedisLayer};
#[cfg(feature = "redis")]
pub use revocation::RevocationLayer;
#[cfg(all(feature = "session", feature = "axum"))]
pub use session::SessionMissing;
#[cfg(feature = "session")]
pub use session::{
    FreshSession, Session, SessionError, SessionFuture, SessionLayer, SessionService,
};
