//! Sessions that outlive their store.

mod end;
mod expiry;
mod held;
mod id;
mod keys;
mod law;
mod load;
mod marks;
mod memory;
mod meter;
mod record;
mod recovery;
mod redis;
mod renew;
mod rules;
mod save;
mod seal;
mod snapshot;
mod store;
mod tombs;

pub use end::SessionInfo;
pub use expiry::Expiry;
pub use id::{SessionId, SessionName};
pub use keys::SessionKeys;
pub use store::SessionStore;

pub(crate) use held::{Base, Held};
pub(crate) use rules::Rules;
pub(crate) use save::Given;
pub(crate) use snapshot::Known;
