//! Concurrency limits: so many requests in flight at a time for each subject, over all instances.
//!
//! | file | what |
//! | --- | --- |
//! | `law` | how many are admitted, as a pure function |
//! | `in_flight` | the limit: how many, under which name, for how long without a sign of life |
//! | `limiter` | Redis or memory |
//! | `permit` | what an admitted request holds |
//! | `memory` | what is in flight here, counted at all times |
//! | `redis`, `acquire.lua`, `renew.lua` | what is in flight everywhere |
//! | `leases`, `release_queue` | what Redis is still to be told: which leases last, which have ended |
//!
//! # Leases
//!
//! Redis keeps a lease for each request in flight. It is given back when the request ends, is
//! renewed while the request lasts, and ends by itself when nobody does either: a process that was
//! killed holds nothing for longer than one [lease](InFlight::with_lease).
//!
//! # When Redis is down
//!
//! Each instance admits its share of the limit, and counts what is in flight already. See
//! [`ConcurrencyLimiter`].

mod in_flight;
mod law;
mod leases;
mod limiter;
mod memory;
mod permit;
mod redis;
mod release_queue;

pub use in_flight::InFlight;
pub use limiter::{ConcurrencyLimiter, ConcurrencyLimiterBuilder};
pub use permit::{Busy, Occupancy, Permit};

pub(crate) use permit::Admission;
