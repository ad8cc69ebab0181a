//! What is used while Redis is away (and, for what was refused, while it is there): bounded keyed state.
//!
//! [`Keyed`] is a table from a 128-bit name ([`Id`]) to a small value that *owes* something for a while.
//! It has a bound, forgets first what owes nothing, then what owes least, never what is being held back,
//! and cleans up after itself as it is used: there is no task and no timer.
//!
//! It knows no law and no Redis: what a value owes is the value's to say ([`Owing`]).

mod hash;
mod keyed;
#[cfg(feature = "session")]
mod recent;
mod shard;

pub(crate) use hash::{Id, IdHasher};
pub(crate) use keyed::{Full, Keyed};
#[cfg(feature = "session")]
pub(crate) use recent::Recent;
pub(crate) use shard::Owing;
