//! Layers for any `http` stack: axum, hyper, tonic, a bare [`ServiceBuilder`].
//!
//! A layer asks the [`HealthMonitor`](crate::health::HealthMonitor) or a store, never Redis itself.
//! None changes the error type of the service that it wraps, each calls the very service that was
//! polled ready, and every response future has a name.
//!
//! | layer | what it does while Redis is away |
//! | --- | --- |
//! | [`CheckRedisLayer`] | tells the handler, which decides |
//! | [`RequireRedisLayer`] | refuses: 503 |
//! | [`RateLimitLayer`] | decides in memory, on this instance's share of the limit |
//! | [`ConcurrencyLimitLayer`] | counts in memory, on this instance's share of the limit |
//! | [`SessionLayer`] | continues sessions from a sealed cookie |
//! | [`RevocationLayer`] | refuses what is revoked, or cannot be judged |
//!
//! The first two need no feature, `SessionLayer` needs `session`, and the others need `redis`.
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
//! [budget](crate::health::RequestBudget): however many stores it uses further in, it waits for
//! Redis once.
//!
//! [`ServiceBuilder`]: tower::ServiceBuilder
#![cfg_attr(
    not(feature = "redis"),
    doc = "
[`RateLimitLayer`]: crate#features
[`ConcurrencyLimitLayer`]: crate#features
[`RevocationLayer`]: crate#features"
)]
#![cfg_attr(not(feature = "session"), doc = "[`SessionLayer`]: crate#features")]

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
    FreshSession, SameSite, Session, SessionError, SessionFuture, SessionLayer, SessionService,
};
