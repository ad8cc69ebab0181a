//! For applications that use tower-sessions already.

mod convert;
mod copies;
mod store;

pub use store::{TowerSessionStore, TowerSessionStoreBuilder};
