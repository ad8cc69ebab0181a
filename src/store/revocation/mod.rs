//! Revoked tokens: ids that are not to be accepted any more, and everything of a subject issued before an instant.
//!
//! ```no_run
//! use std::time::{Duration, SystemTime};
//! use evenkeel::store::revocation::{RevocationConfig, Revocations, Token};
//!
//! # async fn run(redis: evenkeel::redis::Redis) -> Result<(), evenkeel::Error> {
//! let revocations = Revocations::new(&redis, RevocationConfig::default());
//!
//! let until = SystemTime::now() + Duration::from_secs(3600);
//! let told = revocations.revoke("5f0c9f", until).await?;
//! println!("every instance knows: {}", told.is_propagated());
//!
//! let decision = revocations.check(&Token::new("5f0c9f")).await;
//! assert!(!decision.is_admitted());
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! Redis holds all revocations in one hash, and each instance a copy in memory: the log of changes is followed over a connection of
//! its own, so a revocation is known everywhere within milliseconds. Both are asked: a token that memory knows to be revoked is
//! refused without I/O, any other one costs one `HMGET`. Each answer names the table it comes from, so one that has been
//! emptied (`FLUSHALL`, an eviction) is not taken for "not revoked".
//!
//! Only 128 bits of a hash are kept of each id: 1 000 000 of them take about 60 MB here and 110 MB in Redis. Use
//! `maxmemory-policy noeviction` (or a `volatile-` one: these keys have no TTL).
//!
//! # When Redis is down
//!
//! | | |
//! | --- | --- |
//! | known to be revoked | refused |
//! | not known, this instance was in step when the outage began | [clear](RevocationStatus::Clear) |
//! | not known, and it was not in step (it started during the outage) | [unknown](RevocationStatus::Unknown): the [`UnknownPolicy`] decides |
//! | a new revocation | holds here at once, on disk with a [`Journal`](crate::store::Journal), everywhere after the outage: [`Propagation::Pending`] |
//!
//! What another instance revokes during an outage cannot be known here before it ends. When Redis is back, what is
//! pending is pushed before Redis counts as available; when it lost data, everything known here is.

mod answer;
mod clock;
mod config;
mod inner;
mod journal;
mod law;
mod memory;
mod metrics;
mod recovery;
mod redis;
mod shard;
mod store;
mod sync;
mod token;

pub use answer::{Propagation, RevocationDecision};
pub use config::RevocationConfig;
pub use law::{RevocationStatus, UnknownPolicy};
pub use store::Revocations;
pub use token::Token;
