//! Rate limits: so many requests per period for each subject, over all instances.
//!
//! | file | what |
//! | --- | --- |
//! | `law`, `window` | GCRA, the one law, as a pure function |
//! | `debt` | the law of shares, leases and settling up, pure too |
//! | `quota`, `policy` | how much, in one window or several at once |
//! | `subject` | for whom |
//! | `memory` | the limit while Redis is away, and the deny cache while it is there |
//! | `redis`, `gcra.lua`, `charge.lua` | the same law inside Redis |
//! | `limiter`, `builder`, `backends` | Redis or memory |
//! | `lease`, `leases` | many decisions for one trip |
//! | `settlement` | settling up afterwards |
//!
//! # Several windows
//!
//! A [`RatePolicy`] of several quotas admits a request when all of them have room, else takes from
//! none. All its windows live in one Redis key and one slot.
//!
//! # When Redis is down
//!
//! Each instance goes on by itself in memory: from where Redis left off for every subject seen
//! lately, on its share of the limit. What it admits is charged to Redis afterwards. See
//! [`RateLimiter`].

mod backends;
mod bucket;
mod builder;
mod debt;
mod entry;
mod label;
mod law;
mod lease;
mod leases;
mod limiter;
mod memory;
mod metrics;
mod outage;
mod policy;
mod quota;
mod redis;
mod settlement;
mod subject;
mod verdict;
mod window;

pub use builder::RateLimiterBuilder;
pub use law::{MAX_WINDOWS, Retry};
pub use limiter::RateLimiter;
pub use outage::OutagePolicy;
pub use policy::{Level, RatePolicy};
pub use quota::{Quota, QuotaError};
pub use subject::Subject;
pub use verdict::{DecisionSource, RateVerdict};

pub(crate) use bucket::Bucket;
pub(crate) use law::Decision;
#[cfg(test)]
pub(crate) use law::decide;
pub(crate) use metrics::DecisionCounters;
pub(crate) use quota::clean as clean_name;

#[cfg(test)]
mod remote_law;
#[cfg(test)]
mod script_tests;
#[cfg(test)]
mod simulation;
