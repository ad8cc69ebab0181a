//! Sessions for any `http` stack.

mod cookie;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod fresh;
mod future;
mod handle;
mod layer;
mod service;

pub use error::SessionError;
#[cfg(feature = "axum")]
pub use extract::SessionMissing;
pub use fresh::FreshSession;
pub use future::SessionFuture;
pub use handle::Session;
pub use layer::SessionLayer;
pub use service::SessionService;
