//! Limits that only Redis counts: so many invitations, trial accounts, downloads.
//!
//! There is no database that knows better, so what Redis loses is not counted any more, and while
//! it is away either nothing is given out, or a stated share.

mod builder;
mod local;
mod remote;
mod store;

pub use builder::SoftCapacityBuilder;
pub use store::SoftCapacity;
