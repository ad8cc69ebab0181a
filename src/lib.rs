//! evenkeel
pub mod config;
mod error;
#[cfg(feature = "tonic")]
pub mod grpc_health;
pub mod health;
pub mod health_router;
pub mod layer;
#[cfg(feature = "redis")]
mod memory;
#[cfg(feature = "redis")]
pub mod redis;
pub mod respond;
mod served;
#[cfg(feature = "redis")]
pub mod store;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod time;
pub use error::{Error, ErrorKind};
pub use served::{Served, Source};
