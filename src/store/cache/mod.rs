//! A cache: memory before Redis before the database, and never an old value back.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use evenkeel::store::cache::Cache;
//! # async fn item_in_database(id: u64) -> Result<Option<String>, std::io::Error> { Ok(None) }
//! # async fn write_item(id: u64, to: &str) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn demo(redis: evenkeel::redis::Redis) -> Result<(), Box<dyn std::error::Error>> {
//! let items: Cache<String> =
//!     Cache::builder(&redis, "items").with_ttl(Duration::from_secs(60)).build()?;
//!
//! let item = items.get_or_load("item:7", || item_in_database(7)).await?;
//! // The database first, then the cache.
//! items.write_through("item:7", write_item(7, "new")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # When Redis is down
//!
//! | | Redis serves | it is away |
//! | --- | --- | --- |
//! | fresh in memory | memory | memory, for `ttl_without_redis` more; then stale |
//! | stale in memory | loaded again; served meanwhile after the soft time-out, and where the load fails | the same |
//! | in Redis only | Redis, one command | one load in this process |
//! | nowhere | one load among all instances | one load in this process |
//! | [`set`](Cache::set), [`delete`](Cache::delete), [`clear`](Cache::clear) … | both tiers, and every other instance is told | memory at once; what Redis has is deleted before it is used again |
//!
//! An answer says which of these it is: [`Cached`]. Without a memory tier every value is loaded
//! while Redis is away, one load at a time for each key ([`Mode::DatabaseOnly`]).
//!
//! # What may be old, and for how long
//!
//! A value is read, or loaded, under a *generation*, and counts only while nothing that it belongs
//! to was invalidated since: its key, one of its tags, a prefix of its key, the cache. So a load
//! that began before a [`delete`](Cache::delete) never brings the old value back, here or in Redis.
//! Instances hear of each other's invalidations over a connection of their own. While that one is
//! lost and Redis serves, memory does not answer in its place; that it was lost silently is noticed
//! within 1.3 s. With Redis away memory lags by at most `ttl_without_redis`. Values that are
//! *stale* are served only as such.
//!
//! Over an application's own pool ([`Redis::with_pool`](crate::redis::Redis::with_pool)) nothing
//! can be heard: Redis is read each time, and memory is there for outages.

mod answer;
mod backlog;
mod batch;
mod builder;
mod codec;
mod cool_off;
mod entry;
mod error;
mod flight;
mod follow;
mod frame;
mod generations;
mod key;
mod law;
mod load;
mod memory;
mod message;
mod metrics;
mod redis;
mod settings;
mod shared;
mod slots;
mod store;
mod validated;
mod value;
mod warm;
mod write;

pub use answer::{Cached, Freshness, Mode, Tier};
pub use builder::CacheBuilder;
pub use codec::{Codec, Json, Postcard, Raw};
pub use error::LoadError;
pub use key::CacheKey;
pub use metrics::CacheStats;
pub use store::Cache;
pub use value::CacheValue;
pub use warm::{WarmOnRecovery, Warmed};
