//! Lockout: so many failed attempts within a window lock for a time, over all instances.
//!
//! ```no_run
//! use std::time::Duration;
//! use evenkeel::store::{lockout::{Lockout, LockoutPolicy, LoginVerdict}, rate::Subject};
//!
//! # fn is_right(password: &str) -> bool { password == "correct-horse" }
//! # use evenkeel::{Error, redis::Redis};
//! # async fn run(redis: Redis, user: &str, password: &str) -> Result<(), Error> {
//! let policy = LockoutPolicy::new(5, Duration::from_secs(15 * 60))?;
//! let lockout = Lockout::new(&redis, "login", policy)?;
//!
//! match lockout.attempt(&Subject::login_name(user)).await?.value {
//!     LoginVerdict::Refused(status) => println!("423, again in {:?}", status.retry_after()),
//!     LoginVerdict::Admitted(attempt) if is_right(password) => {
//!         lockout.succeed(attempt).await?;
//!     }
//!     LoginVerdict::Admitted(attempt) => {
//!         let status = lockout.fail(attempt).await?;
//!         println!("401, {} attempts left", status.attempts_left());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! An attempt takes a slot before the password is verified, and there are as many slots as attempts
//! may fail. One script counts and reserves them in one round trip, so of 200 guesses at once five
//! are verified. A success clears the counter, not the lock.
//!
//! Write the user as a [`Subject::secret`](super::rate::Subject::secret), so that no name stands in
//! Redis, in the form that your login compares (lower case, say); count addresses by a [`Lockout`]
//! of their own with a higher threshold, and [`cancel`](Lockout::cancel) the one where the other
//! refuses.
//!
//! # When Redis is down
//!
//! Memory goes on from the failed attempts and locks that this instance has seen, under the same
//! law. Afterwards this is merged into Redis before it counts as available: counts and locks are
//! raised, never lowered, and what both know counts once. What other instances count during an
//! outage cannot be known here: against n instances an attacker has n times the threshold at most.

mod answer;
mod backlog;
mod builder;
mod journal;
mod law;
mod memory;
mod metrics;
mod policy;
mod redis;
mod store;

pub use answer::{Attempt, LockoutStatus, LoginVerdict};
pub use builder::LockoutBuilder;
pub use policy::LockoutPolicy;
pub use store::Lockout;
