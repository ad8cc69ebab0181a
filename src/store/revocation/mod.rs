//! Revoked tokens: ids that are not to be accepted any more, and everything of a subject issued
//! before an instant.
//!
//! ```no_run
//! use std::time::{Duration, SystemTime};
//! use evenkeel::store::revocation::{Revocations, Token};
//!
//! # async fn run(redis: evenkeel::redis::Redis) -> Result<(), evenkeel::Error> {
//! let revocations = Revocations::new(&redis);
//!
//! let until = SystemTime::now() + Duration::from_secs(3600);
//! let propagation = revocations.revoke("5f0c9f", until).await?;
//! println!("every instance knows: {}", propagation.is_propagated());
//!
//! let decision = revocations.check(&Token::new("5f0c9f")).await;
//! assert!(!decision.is_admitted());
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! Redis holds all revocations in one hash, and each instance a copy in memory: it follows the log
//! of changes over a connection of its own, so a revocation is known everywhere within
//! milliseconds. Both are asked: a token that memory knows to be revoked is refused without I/O,
//! any other one costs one `HMGET`. Each answer names the table it comes from, so one that has been
//! emptied (`FLUSHALL`, an eviction) is not taken for "not revoked".
//!
//! An instance is *in step* when it has read all that Redis holds and its connection to the log is
//! alive. At the bound of its table it raises a *horizon*: tokens issued before that moment are no
//! longer judged by the table alone.
//!
//! Only 128 bits of a hash are kept of each id: 1 000 000 of them take about 60 MB here and 110 MB
//! in Redis. Use `maxmemory-policy noeviction` (or a `volatile-` one: these keys have no TTL).
//!
//! # When Redis is down
//!
//! | | |
//! | --- | --- |
//! | known to be revoked | refused |
//! | not known, in step when the outage began | [clear](RevocationStatus::Clear) |
//! | not known, not in step (started in the outage) | [unknown]: the [`UnknownPolicy`] decides |
//! | a new revocation | holds here at once, everywhere afterwards: [`Propagation::Pending`] |
//!
//! What another instance revokes during an outage cannot be known here before it ends. When Redis
//! is back, what is pending is pushed before Redis counts as available; when it lost data,
//! everything known here is. With a [`Journal`](crate::store::Journal) that survives a restart,
//! too.
//!
//! [unknown]: RevocationStatus::Unknown

mod answer;
mod backlog;
mod builder;
mod catch_up;
mod clock;
mod journal;
mod law;
mod memory;
mod metrics;
mod redis;
mod shard;
mod shared;
mod store;
mod sync;
mod token;

pub use super::propagation::Propagation;
pub use answer::RevocationDecision;
pub use builder::RevocationsBuilder;
pub use law::{RevocationStatus, UnknownPolicy};
pub use store::Revocations;
pub use token::Token;
