//! Rate limits: so many requests per period for each subject, over all instances.
//!
//! | file | what |
//! | --- | --- |
//! | `law` | GCRA, the one law, as a pure function |
//! | `debt` | the law of shares, leases and settling up, pure too |
//! | `quota`, `policy` | how much, in one window or several at once |
//! | `subject` | for whom |
//! | `memory` | the limit while Redis is away, and the deny cache while it is there |
//! | `gcra.lua`, `charge.lua` | the same law inside Redis |
//!
//! # Several windows
//!
//! A [`Policy`] of several quotas admits a request when all of them have room, else takes from none.
//! All its windows live in one Redis key and one slot.
//!
//! # When Redis is down
//!
//! Each instance goes on by itself in [`RateMemory`]: from where Redis left off for every subject seen
//! lately, on its share of the limit ([`Policy::share`]). What it admits is charged to Redis afterwards.

mod debt;
mod entry;
mod law;
mod memory;
mod policy;
mod quota;
mod subject;

pub use law::{Decision, MAX_WINDOWS, Retry};
pub use memory::RateMemory;
pub use policy::{Level, Policy};
pub use quota::{Quota, QuotaError};
pub use subject::Subject;

#[cfg(test)]
mod script_tests;
