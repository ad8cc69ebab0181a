//! What an application meets while a real Redis is refused, hung, wrong, slow, restarted or
//! emptied: how long its requests wait, how soon an outage is known and over, and that routes
//! without Redis never notice.

mod app;
mod course;
mod traffic;
mod world;

mod addresses;
mod answers;
mod by_hand;
mod connections;
mod continuity;
mod credentials;
mod dedicated;
mod flapping;
mod gone;
mod greeting;
mod load;
mod not_serving;
mod rights;
mod sentinel_passwords;
mod silent;
mod slow;
mod starts;
mod subscribe;
mod tls;
mod topologies;
mod writes;

use crate::support;

pub(crate) use course::Course;
pub(crate) use traffic::Traffic;
pub(crate) use world::World;

use std::time::Duration;

/// What a request may take beyond the wait that it is promised: a loaded machine schedules late.
pub(crate) const SLACK: Duration = Duration::from_millis(400);
/// From Redis answering again until it is used again, under traffic.
pub(crate) const PROMISE: Duration = Duration::from_secs(1);
/// For what has no promise of its own.
pub(crate) const LONG: Duration = Duration::from_secs(15);
