//! Is Redis there? A pure policy, a task that feeds it, and a handle to ask.
//!
//! Nothing here knows a Redis client: a [`HealthMonitor`] watches anything with a [`Probe`].

mod announce;
mod budget;
mod config;
mod fault;
mod handle;
#[cfg(any(test, feature = "testing"))]
mod manual;
mod meter;
mod monitor;
mod policy;
mod probe;
mod recovery;
mod schedule;
mod status;
mod task;
mod transitions;
mod word;
mod work;

pub use budget::{RequestBudget, WithBudget};
pub use config::HealthConfig;
pub use fault::{Fault, FaultClass};
pub use handle::{Admission, HealthMonitor};
#[cfg(any(test, feature = "testing"))]
pub use manual::ManualControl;
pub use probe::{Answer, Ask, Details, Probe, Usage, Via, Writes};
pub use recovery::{Continuity, Recovery, Registration, Stage};
pub use schedule::Backoff;
pub use status::{State, Status, Transition};
pub use transitions::Transitions;

#[cfg(feature = "redis")]
pub(crate) use handle::WeakMonitor;
