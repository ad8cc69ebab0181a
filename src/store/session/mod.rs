//! Sessions that outlive their store.
//!
//! Redis holds the record: one value with a version, changed by a compare-and-set of the whole, and
//! merged here, key by key, where another has written in between. The client holds its id, and a
//! sealed copy of what was declared fit for it, the *snapshot*, issued while Redis is there. This
//! instance remembers what it saw: the newest version of each session, and which have ended.
//!
//! [`SessionLayer`](crate::layer::SessionLayer) puts this into HTTP; [`SessionStore`] lists and
//! ends sessions. The guide `docs/sessions.md` says what a session without Redis can and cannot
//! promise.
//!
//! # When Redis is down
//!
//! | what the client shows | the answer |
//! | --- | --- |
//! | nothing, or no id of ours | no session |
//! | an id that was logged out here | no session, whatever else it shows |
//! | an id and a snapshot of it, verified by Redis within the hour, and not older than what was seen here | the session, *stateless* |
//! | anything else | [`Error::is_unavailable`](crate::Error::is_unavailable): nobody can say |
//!
//! What is changed meanwhile travels with the client and is brought to Redis by its first request
//! afterwards. A key that somebody else has changed in Redis stays as it is there. What was ended
//! is brought to Redis before that is announced as available again.

mod backlog;
#[cfg(feature = "testing")]
pub(crate) mod bench;
mod change;
mod claims;
mod cookies;
mod create;
mod end;
mod ending;
mod expiry;
#[cfg(feature = "testing")]
pub(crate) mod fuzz;
mod hash_record;
mod high_water_marks;
mod id;
mod key_ring;
mod keys;
mod law;
mod lineage;
mod list;
mod load;
mod loaded;
mod memory;
mod merge;
mod metrics;
mod new_record;
mod offline;
mod presented;
mod record;
mod redis;
mod renew;
mod restore;
mod save;
mod seal;
mod sessions;
mod shards;
mod snapshot;
mod snapshot_cache;
mod standing;
mod state;
mod store;
mod tombstones;
#[cfg(feature = "tower-sessions")]
mod tower_sessions;

pub use expiry::Expiry;
pub use id::{SessionId, SessionName};
pub use keys::SessionKeys;
pub use list::SessionInfo;
pub use store::{SessionStore, SessionStoreBuilder};
#[cfg(feature = "tower-sessions")]
pub use tower_sessions::{TowerSessionStore, TowerSessionStoreBuilder};

pub(crate) use cookies::ResponseCookies;
pub(crate) use sessions::{Rules, Sessions};
pub(crate) use snapshot::{Declared, Known};
pub(crate) use state::{Origin, SessionState};
