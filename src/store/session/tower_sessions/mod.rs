//! For applications that use tower-sessions already.

mod backlog;
mod builder;
mod convert;
mod copies;
mod store;

pub use builder::TowerSessionStoreBuilder;
pub use store::TowerSessionStore;
