//! Periodic work that waits out an outage, on one instance or on each.
//!
//! Schedulers that stand on Redis commonly stop with it: their loop ends with the first error and
//! the job does not run again until somebody restarts the process. Here a job is *still running
//! tomorrow*: whatever happens to Redis, to a run, or to another instance, the next tick is decided
//! like any other.
//!
//! ```no_run
//! use std::{io, time::Duration};
//! use evenkeel::{jobs::{Jobs, Lease, Run}, redis::Redis};
//!
//! # async fn unpaid() -> Result<Vec<u64>, io::Error> { Ok(vec![]) }
//! # async fn remind(order: u64, fence: u64) -> Result<(), io::Error> { Ok(()) }
//! # async fn demo(redis: Redis) -> Result<(), evenkeel::Error> {
//! let jobs = Jobs::new(&redis);
//! jobs.every("remind", Duration::from_secs(60), |run: Run| async move {
//!     let fence = run.fence().get();
//!     // One that fails does not hold up the others; it stops when the run is no longer ours.
//!     let tally = run.each(unpaid().await?, |order| remind(order, fence)).await;
//!     println!("{} reminded, {} failed", tally.done, tally.failed);
//!     Ok::<(), io::Error>(())
//! })
//! .with_single_runner(Lease::of(Duration::from_secs(15)))
//! .with_on_recovery(true)
//! .start()?;
//! // …
//! jobs.shutdown(Duration::from_secs(10)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # When Redis is down
//!
//! A job that [needs it](JobBuilder::with_needs_redis) (the default) skips its ticks, and says so
//! once; when Redis is back it goes on at the next tick, at once if
//! [asked to](JobBuilder::with_on_recovery), and makes up for missed ticks if
//! [asked to](JobBuilder::with_catch_up). A run that is under way is not touched, unless it loses
//! its lease. A job that does not need Redis is not touched either.
//!
//! # What a lease can promise
//!
//! With a [single runner](JobBuilder::with_single_runner), no other instance begins a run while the
//! holder of the lease may believe in it: the holder stops believing a tenth before the end, by its
//! own monotonic clock, counted from before it asked. But no lease excludes two writers: a process
//! may stand still between its look at the lease and its write. So each run has a
//! [token](Run::fence) that is higher than those of all runs before it, and **what is written to
//! refuses a lower one than it has seen**.
//!
//! The token grows for ever: it is more than the last one that Redis knows, more than each that
//! this process has seen, and no less than the microseconds since 1970 by Redis' clock, so that it
//! grows over an empty Redis, too. What this assumes: that a Redis which has lost its data *and*
//! has a clock that stands behind the one before it was lost meets at least one instance that saw
//! the last token. After a restart that came back empty in the middle of a run, another instance
//! may begin while the holder believes in its lease until its next renewal: here, too, the token
//! decides. So it does for a machine that is suspended together with its process, which a monotonic
//! clock does not count.

mod active;
mod asking;
mod builder;
mod handle;
mod items;
mod keeper;
mod law;
mod lease;
mod metrics;
mod missed;
mod outage;
mod outcome;
mod redis;
mod registry;
mod run;
mod runner;
mod settings;
mod status;
mod stop;
#[cfg(test)]
mod tests;
mod timer;
mod why;

pub use builder::JobBuilder;
pub use handle::Jobs;
pub use items::ItemCounts;
pub use lease::{Fence, Lease, Lost};
pub use outcome::{Outcome, SkipReason};
pub use run::{Cancelled, Run};
pub use status::{JobStatus, LastRun, LastSkip};
