//! The memory tier: entries under a bound of bytes, and who is about to store one.
//!
//! Whoever reads a value elsewhere, or loads it, takes a [`Ticket`] for its key *before*. An
//! invalidation of the key voids the tickets that are out, under the lock under which an entry is
//! kept: what was read or loaded before it never comes back.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use parking_lot::Mutex;
use quick_cache::{Weighter, sync::Cache};

use super::{entry::Entry, flight::Flight, slots::Slots};

/// What an entry takes besides its key and its bytes.
pub(super) const OVERHEAD: u64 = 160;
/// Entries of this size are reckoned with at first.
const USUAL_WEIGHT: u64 = 512;
const SHARDS: usize = 64;

pub(super) struct Memory<V> {
    entries: Cache<Arc<str>, Arc<Entry<V>>, ByWeight>,
    shards: Box<[Mutex<Shard<V>>]>,
    hasher: RandomState,
}

type Shard<V> = Slots<Arc<Flight<V>>>;

#[derive(Clone)]
struct ByWeight;

impl<V> Weighter<Arc<str>, Arc<Entry<V>>> for ByWeight {
    fn weight(&self, _key: &Arc<str>, entry: &Arc<Entry<V>>) -> u64 {
        entry.weight
    }
}

/// The right to store an entry for a key, unless that is invalidated first.
pub(super) struct Ticket<V> {
    memory: Arc<Memory<V>>,
    key: Arc<str>,
    generation: u64,
    flight: Option<Arc<Flight<V>>>,
}

/// Whether a load is to be waited for or to be done.
pub(super) enum Turn<V> {
    Wait(Arc<Flight<V>>),
    Load(Arc<Flight<V>>, Ticket<V>),
}

impl<V> Memory<V> {
    pub(super) fn new(bytes: u64) -> Self {
        let usual = usize::try_from(bytes / USUAL_WEIGHT).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        Self {
            entries: Cache::with_weighter(usual, bytes, ByWeight),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    #[inline]
    pub(super) fn get(&self, key: &str) -> Option<Arc<Entry<V>>> {
        self.entries.get(key)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    /// Something that may become an entry of the key begins.
    pub(super) fn begin(self: &Arc<Self>, key: &Arc<str>) -> Ticket<V> {
        let generation = self.shard(key).lock().begin(key);
        self.ticket(key, generation, None)
    }

    /// One load at a time, but that nobody waits for one that began before an invalidation that
    /// they know of: of a tag or a prefix, too, which voids no tickets.
    pub(super) fn turn(
        self: &Arc<Self>,
        key: &Arc<str>,
        begun: u64,
        begin: impl FnOnce() -> Flight<V>,
    ) -> Turn<V> {
        let mut shard = self.shard(key).lock();
        if let Some(flight) = shard.flight(key).filter(|flight| flight.begun >= begun) {
            return Turn::Wait(Arc::clone(flight));
        }
        let flight = Arc::new(begin());
        let generation = shard.begin(key);
        shard.set_flight(key, Arc::clone(&flight));
        let ticket = self.ticket(key, generation, Some(Arc::clone(&flight)));
        Turn::Load(flight, ticket)
    }

    fn ticket(
        self: &Arc<Self>,
        key: &Arc<str>,
        generation: u64,
        flight: Option<Arc<Flight<V>>>,
    ) -> Ticket<V> {
        Ticket { memory: Arc::clone(self), key: Arc::clone(key), generation, flight }
    }

    /// What is there goes, and what is on its way will not be kept.
    pub(super) fn invalidate(&self, key: &str) {
        let mut shard = self.shard(key).lock();
        shard.void(key);
        self.entries.remove(key);
    }

    /// What is there is no longer fresh, and what is on its way will not be kept.
    pub(super) fn expire(&self, key: &str, now: u64) {
        let mut shard = self.shard(key).lock();
        shard.void(key);
        if let Some(entry) = self.entries.peek(key) {
            entry.expire(now);
        }
    }

    /// This entry goes, unless another has taken its place.
    pub(super) fn remove(&self, key: &str, entry: &Arc<Entry<V>>) {
        self.entries.remove_if(key, |kept| Arc::ptr_eq(kept, entry));
    }

    /// The entry is there from now on, whatever is on its way.
    pub(super) fn put(&self, key: &Arc<str>, entry: Arc<Entry<V>>) {
        let mut shard = self.shard(key).lock();
        shard.void(key);
        self.entries.insert(Arc::clone(key), entry);
    }

    fn shard(&self, key: &str) -> &Mutex<Shard<V>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl<V> Ticket<V> {
    pub(super) fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// Keeps the entry, unless the key was invalidated since.
    pub(super) fn keep(&self, entry: &Arc<Entry<V>>) -> bool {
        let shard = self.memory.shard(&self.key).lock();
        let is_current = shard.is_current(&self.key, self.generation);
        if is_current {
            self.memory.entries.insert(Arc::clone(&self.key), Arc::clone(entry));
        }
        is_current
    }
}

impl<V> Drop for Ticket<V> {
    fn drop(&mut self) {
        let is_own = |flight: &Arc<Flight<V>>| {
            self.flight.as_ref().is_some_and(|own| Arc::ptr_eq(own, flight))
        };
        self.memory.shard(&self.key).lock().end(&self.key, is_own);
    }
}
