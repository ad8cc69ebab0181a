//! Sessions for any `http` stack.
//!
//! [`SessionLayer`] gives each request a [`Session`]; what becomes of it goes to the client in
//! cookies. What a session is, and what is done about it without Redis, is
//! [`store::session`](crate::store::session)'s.

mod cookie_settings;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod fresh;
mod future;
mod handle;
mod layer;
mod request_cookies;
mod request_session;
mod service;
mod set_cookie;
mod settings;

pub use cookie_settings::SameSite;
pub use error::SessionError;
#[cfg(feature = "axum")]
pub use extract::SessionMissing;
pub use fresh::FreshSession;
pub use future::SessionFuture;
pub use handle::Session;
pub use layer::SessionLayer;
pub use service::SessionService;
