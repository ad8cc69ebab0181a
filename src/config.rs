//! Settings, their defaults, and how they are read from the environment.

mod env;
mod health;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod url;

#[cfg(feature = "session")]
pub(crate) use env::raw;
pub use env::{parse_duration, var, var_with};
pub use health::HealthConfig;
#[cfg(feature = "redis")]
pub use redis::RedisConfig;
#[cfg(feature = "redis")]
pub use url::{RedisUrl, Topology};
