//! Seats, tickets, stock: what must never be given out more often than it is there.
//!
//! The truth is the caller's database, always: a reservation is one conditional write in it, and
//! nothing else makes one. Redis is a gate in front of it that may only refuse. In a rush (100
//! seats, 50 000 requests) it keeps those away from the database that come too late.
//!
//! ```text
//! reserve ──► sold out? ──► gate (Redis) ──► the caller's conditional write ──► granted
//!              memory          │ full                    │ full
//!                refused ◄─────┴────────► refused ◄──────┘
//! ```
//!
//! # Why it cannot oversell
//!
//! There is one judge, whatever the state of Redis, and whichever instances reach it. A design in
//! which Redis decides, and the database only while Redis is away, has two: an instance that is cut
//! off alone sells by the one what the others sell by the other.
//!
//! A gate can be wrong in two ways. It may have too many seats: then the database is asked in vain,
//! and puts the gate right. Or too few: then it refuses too early, until a
//! [reconciliation](Capacity::reconcile), or for one
//! [lifetime](CapacityBuilder::with_gate_lifetime).
//!
//! # The database's part
//!
//! In SQL, with a unique `request_id`, in one transaction:
//!
//! ```sql
//! SELECT token FROM reservations WHERE request_id = :request_id;            -- a row: Repeated
//! UPDATE events SET sold = sold + :n WHERE id = :event AND sold + :n <= capacity;  -- none: Full
//! INSERT INTO reservations (token, request_id, event, seats) VALUES (…);    -- Taken
//! ```
//!
//! # When Redis is down
//!
//! | Redis | [`reserve`](Capacity::reserve) | [`release`](Capacity::release) |
//! | --- | --- | --- |
//! | serves, the gate is known | the gate may refuse; else the database decides | the database, then the gate |
//! | serves, the gate is not known | the database decides, and the gate learns what is left | the same |
//! | is away | the database decides; no I/O to Redis | the database |
//! | is back with its data | gates that an outage has passed by were given up before it counts as available | |
//! | is back empty or older | no gate is known: the epoch is part of their names | |
//!
//! A gate that was dropped by Redis, or that something else was written over, is not known. A
//! process that is killed, or that loses Redis between the database's answer and the gate's, leaves
//! the gate too low at worst.
//!
//! [`SoftCapacity`] is the other kind, for limits without a database: while Redis is away it
//! refuses, or gives out a stated share.
//!
//! What no gate knows of, an event that is not on sale say, is an
//! [error](BookingError::NotDone) of the closure.
//!
//! # Example
//!
//! ```no_run
//! # async fn demo(redis: evenkeel::redis::Redis) -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::{Arc, Mutex};
//!
//! use evenkeel::store::capacity::{
//!     Booking, BookingError, Capacity, CapacityVerdict, Occupancy, RequestId,
//! };
//!
//! let seats = Capacity::new(&redis, "seats")?;
//! // In place of a database.
//! let taken = Arc::new(Mutex::new(0));
//! let request = RequestId::fresh();
//! let verdict = seats.reserve("hall", 2, &request, async |ask| {
//!     let mut taken = taken.lock().unwrap();
//!     if *taken + u64::from(ask.seats) > 100 {
//!         return Ok(Booking::Full(Occupancy::new(100, *taken)));
//!     }
//!     *taken += u64::from(ask.seats);
//!     Ok::<_, BookingError<std::io::Error>>(Booking::Taken(Occupancy::new(100, *taken)))
//! });
//! match verdict.await?.value {
//!     CapacityVerdict::Granted { token, left, .. } => println!("{token}, {left} left"),
//!     refused => println!("{refused:?}"),
//! }
//! # Ok(())
//! # }
//! ```

mod backlog;
mod builder;
mod failure;
mod follow;
mod gates;
mod inner;
mod law;
mod metrics;
mod reconcile;
#[cfg(test)]
mod script_tests;
mod shared;
mod soft;
mod sold_out;
mod store;
mod truth;
mod truth_call;
mod verdict;

pub use builder::CapacityBuilder;
pub use failure::{BookingError, CapacityError};
pub use soft::{SoftCapacity, SoftCapacityBuilder};
pub use store::Capacity;
pub use truth::{Booking, Cancellation, Occupancy, RequestId, SeatRequest, Token, Truth};
pub use verdict::{CapacityVerdict, Reconciled, ReleaseVerdict};
