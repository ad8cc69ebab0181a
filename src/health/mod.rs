//! Is Redis there? A pure policy, a task that feeds it, and a handle that answers.
//!
//! Nothing here knows a Redis client: a [`HealthMonitor`] watches anything with a [`Probe`].

mod atomic_state;
mod budget;
mod config;
mod fault;
mod gauges;
mod handle;
mod in_flight;
mod log;
#[cfg(any(test, feature = "testing"))]
mod manual;
mod metrics;
mod monitor;
mod policy;
mod probe;
mod recovery;
mod schedule;
mod shared;
mod status;
mod task;
mod transitions;

pub use budget::{RequestBudget, WithBudget};
pub use config::HealthConfig;
pub use fault::{Fault, FaultClass};
pub use handle::{Admission, HealthMonitor};
#[cfg(any(test, feature = "testing"))]
pub use manual::ManualControl;
pub use probe::{Details, Probe, ProbeAnswer, ProbeOptions, Usage, Via, Writes};
pub use recovery::{Continuity, Recovery, Registration, Stage};
pub use schedule::Backoff;
pub use status::{State, Status, Transition};
pub use transitions::Transitions;

#[cfg(feature = "redis")]
pub(crate) use handle::WeakMonitor;
