//! Settings that cannot be read are named; secrets never are. The example gateway shows both, as a
//! process of its own.

mod bad;
mod gateway;
mod kubernetes;
mod secrets;
mod sentinels;
mod tls;

use crate::support;
