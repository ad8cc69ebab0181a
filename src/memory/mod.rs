//! What is used while Redis is away (and, for what was refused, while it is there): bounded state
//! by key.
//!
//! [`BoundedMap`] is a map from a 128-bit name ([`Id`]) to a small value that *decays*: a debt, a
//! lease, a count of failures. It has a bound, forgets first what has expired, then what expires
//! first, never what is pinned, and sweeps itself as it is used: there is no task and no timer.
//!
//! It knows no law and no Redis: when a value expires is the value's to say ([`Decaying`]).

mod bounded_map;
#[cfg(feature = "session")]
mod generational;
mod hash;
mod shard;

pub(crate) use bounded_map::{BoundedMap, Full};
#[cfg(feature = "session")]
pub(crate) use generational::GenerationalCache;
pub(crate) use hash::{Id, IdHasher};
pub(crate) use shard::Decaying;
