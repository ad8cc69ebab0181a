//! A table in parts, each behind a lock of its own: requests of different sessions seldom meet.

use parking_lot::{Mutex, MutexGuard};

use super::id::SessionName;

pub(super) struct Shards<T>(Box<[Mutex<T>]>);

impl<T> Shards<T> {
    pub(super) const COUNT: usize = 16;

    pub(super) fn new(shard: impl Fn() -> T) -> Self {
        Self((0..Self::COUNT).map(|_| Mutex::new(shard())).collect())
    }

    /// The part that holds this session.
    pub(super) fn of(&self, name: SessionName) -> MutexGuard<'_, T> {
        // The name is a hash already.
        self.0[usize::from(name.first_byte()) % Self::COUNT].lock()
    }

    /// One part after the other.
    pub(super) fn iter(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.0.iter().map(Mutex::lock)
    }
}
