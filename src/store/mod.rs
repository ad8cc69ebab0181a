//! What applications keep in Redis, and what answers for it while Redis is away.
//!
//! Nothing here knows http or tower. Each store has a law (a pure function), a form of it in Redis
//! (a script), and a form in memory that takes over.

#[cfg(feature = "cache")]
pub mod cache;
pub mod capacity;
pub mod concurrency;
mod finish;
mod journal;
pub mod lockout;
mod membership;
mod propagation;
pub mod pubsub;
pub mod rate;
#[allow(dead_code)]
mod replay;
pub mod revocation;
#[cfg(feature = "session")]
pub mod session;
#[allow(dead_code)]
mod switch;

pub use journal::{Journal, JournalRecord};
pub use propagation::Propagation;
pub(crate) use switch::Step;
