//! The bounded table.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, TryLockError};

use super::hash::Id;
use super::shard::{Owing, Shard};

/// Values for each shard at the bound: few enough to make room for more in microseconds, and enough for
/// the shards themselves to stay in the processor's cache.
const PER_SHARD: usize = 512;
/// Who has owed nothing for this long (microseconds) is forgotten when the room is needed; until then a
/// regular visitor finds his place as he left it, which is cheaper than a new one.
const GRACE: u64 = 60_000_000;
/// How many other shards a newcomer may tidy to find room.
const TIDY: usize = 4;

/// The newcomer was not kept: the table is at its bound, and all that could make room are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A table of at most `bound` values, for many threads.
///
/// Values change through a shared reference (they are atomic inside): looking at one takes its shard's lock
/// for reading, and threads at the same subject do not wait for each other. Only keeping a new one locks
/// its shard, one among thousands, for writing.
///
/// # At the bound
///
/// A newcomer takes the place of the value in its own shard that owes nothing any more, else of the one
/// that owes least. A value that is held back is never forgotten, however many newcomers there are: when all
/// are, and some other shards have no room either, the newcomer is not kept, and [`Full`] says so.
///
/// The least is sought among some 40 that the keyed hash put next to each other, and among more only when all
/// of those are held back: what is sampled is who goes first, not who is safe.
///
/// # Memory
///
/// Shards start empty and grow (and shrink) with what they hold: about 45 bytes for each value of 16 bytes,
/// and 64 bytes for every 512 of the bound.
pub(crate) struct Keyed<V> {
    shards: Box<[Lane<V>]>,
    len: AtomicUsize,
    bound: usize,
    tidied: AtomicUsize,
}

/// A lock and its shard on a cache line of their own, so that neighbours do not slow each other.
#[repr(align(64))]
struct Lane<V>(RwLock<Shard<V>>);

impl<V: Owing> Keyed<V> {
    /// An empty table for at most `bound` values (at least 1).
    pub(crate) fn new(bound: usize) -> Self {
        let bound = bound.max(1);
        let shards = (bound / PER_SHARD).clamp(1, 1 << 20).next_power_of_two();
        let shards = (0..shards).map(|_| Lane(RwLock::new(Shard::default()))).collect();
        Self { shards, len: AtomicUsize::new(0), bound, tidied: AtomicUsize::new(0) }
    }

    /// Looks at the value of `id`, if there is one.
    #[inline]
    pub(crate) fn with<R>(&self, id: Id, look: impl FnOnce(&V) -> R) -> Option<R> {
        read(&self.lane(id).0).get(id).map(look)
    }

    /// Keeps the value that `make` returns, unless there is one by now: then `look` is asked instead.
    /// A value that owes nothing is not kept. `held` says which of the others must not be forgotten.
    ///
    /// # Errors
    ///
    /// [`Full`] when there was none and the new one could not be kept.
    pub(crate) fn keep<R>(
        &self,
        id: Id,
        now: u64,
        look: impl FnOnce(&V) -> R,
        make: impl FnOnce() -> (V, R),
        held: impl Fn(&V) -> bool,
    ) -> Result<R, Full> {
        let mut shard = self.lane(id).0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = shard.get(id) {
            return Ok(look(value));
        }
        let (value, answer) = make();
        if value.clear_at() <= now {
            return Ok(answer);
        }
        if !self.reserve() {
            match shard.least(id, now, held) {
                // One out, one in: the count stays.
                Some(least) => drop(shard.remove(least)),
                None if self.tidy(now) && self.reserve() => {}
                None => return Err(Full),
            }
        }
        let forgotten = shard.insert(id, value, now.saturating_sub(GRACE));
        self.len.fetch_sub(forgotten, Ordering::Relaxed);
        Ok(answer)
    }

    /// Counts one more, unless that would pass the bound.
    fn reserve(&self) -> bool {
        let more = |len| (len < self.bound).then_some(len + 1);
        self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Forgets what owes nothing in the next few shards. The caller holds a lock, so this never waits for one.
    fn tidy(&self, now: u64) -> bool {
        let from = self.tidied.fetch_add(TIDY, Ordering::Relaxed);
        let mut gone = 0;
        for step in 0..TIDY.min(self.shards.len()) {
            let Lane(shard) = &self.shards[(from.wrapping_add(step)) & (self.shards.len() - 1)];
            gone += match shard.try_write() {
                Ok(mut shard) => shard.purge(now),
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().purge(now),
                Err(TryLockError::WouldBlock) => 0,
            };
        }
        self.len.fetch_sub(gone, Ordering::Relaxed);
        gone > 0
    }

    fn lane(&self, id: Id) -> &Lane<V> {
        // A power of two, so the mask is in range.
        &self.shards[id.high() as usize & (self.shards.len() - 1)]
    }

    /// Visits all values of one shard; `None` when there is no such shard. For passes over the whole table
    /// that stop nobody for long.
    pub(crate) fn visit<R>(
        &self,
        shard: usize,
        visit: impl FnOnce(&mut dyn Iterator<Item = &V>) -> R,
    ) -> Option<R> {
        let Lane(shard) = self.shards.get(shard)?;
        Some(visit(&mut read(shard).values()))
    }

    /// How many values there are, counting those that owe nothing but are not forgotten yet.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most there can be.
    pub(crate) fn bound(&self) -> usize {
        self.bound
    }
}

/// A panic under the lock leaves whole values behind, so poison is no reason to stop serving.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "keyed_tests.rs"]
mod tests;
