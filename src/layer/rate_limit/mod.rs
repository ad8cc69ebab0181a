//! Limits how much each client may ask, over all instances, with Redis or without.
//!
//! ```no_run
//! use evenkeel::{
//!     layer::{client_key::ClientKey, rate_limit::RateLimitLayer},
//!     redis::Redis,
//!     store::rate::{RatePolicy, Quota},
//! };
//! use axum::{Router, routing::get};
//!
//! # fn demo(redis: &Redis) -> Result<Router, Box<dyn std::error::Error>> {
//! let api_key = ClientKey::header("x-api-key".parse()?);
//! let by_client = api_key.or(ClientKey::address("10.0.0.0/8".parse()?));
//! let limits = RatePolicy::from([Quota::per_second(10), Quota::per_hour(1_000)]);
//! let app = Router::new()
//!     .route("/search", get(|| async { "found" }))
//!     .layer(RateLimitLayer::new(redis, limits.with_name("search")).with_key(by_client));
//! # Ok(app)
//! # }
//! ```
//!
//! # What is decided, and what the handler sees
//!
//! A request is admitted or refused (429, see [`respond`](crate::respond)) before the inner service
//! is called. The [`RateVerdict`](crate::store::rate::RateVerdict) is in the extensions of the
//! request and of the response: what is left, when it is full again, and whether Redis or memory
//! said so.
//!
//! # When Redis is down
//!
//! By default the limit goes on in memory, on this instance's share, as
//! [`RateLimiter`](crate::store::rate::RateLimiter) describes; [`OutagePolicy`] has the
//! alternatives. No request waits for Redis longer than its [budget](crate::health::RequestBudget).

mod applied;
mod headers;
mod layer;
mod rules;

pub use crate::store::rate::OutagePolicy;
pub use headers::HeaderStyle;
pub use layer::{RateLimit, RateLimitFuture, RateLimitLayer};
