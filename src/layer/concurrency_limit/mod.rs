//! Limits how many requests of each client are in flight at a time, over all instances, with Redis
//! or without.
//!
//! ```no_run
//! use evenkeel::{
//!     layer::{client_key::ClientKey, concurrency_limit::ConcurrencyLimitLayer},
//!     redis::Redis,
//!     store::concurrency::InFlight,
//! };
//! use axum::{Router, routing::get};
//!
//! # fn demo(redis: &Redis) -> Result<Router, Box<dyn std::error::Error>> {
//! let by_tenant = ClientKey::header("x-tenant".parse()?).or(ClientKey::peer());
//! let limit = InFlight::at_most(2).with_name("export");
//! let app = Router::new()
//!     .route("/export", get(|| async { "a long report" }))
//!     .layer(ConcurrencyLimitLayer::new(redis, limit).with_key(by_tenant));
//! # Ok(app)
//! # }
//! ```
//!
//! # What counts as in flight
//!
//! A request counts until the body of its response has ended, or has been dropped; so does one
//! whose future is dropped, and one whose handler fails or panics. An upgraded connection (a
//! WebSocket) counts until the answer to the upgrade is sent.
//!
//! Refused requests get 429 with `Retry-After: 1` (see [`respond`](crate::respond)): nobody knows
//! when a request will end. The [`Occupancy`](crate::store::concurrency::Occupancy) is in the
//! extensions of the request and of the response.
//!
//! # When Redis is down
//!
//! The limit goes on in memory, on this instance's share, as
//! [`ConcurrencyLimiter`](crate::store::concurrency::ConcurrencyLimiter) describes. No request
//! waits for Redis longer than its [budget](crate::health::RequestBudget).

mod applied;
mod body;
mod layer;
mod rules;

pub use body::InFlightBody;
pub use layer::{ConcurrencyLimit, ConcurrencyLimitFuture, ConcurrencyLimitLayer};
