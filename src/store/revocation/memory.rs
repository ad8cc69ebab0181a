//! What this instance knows: an exact table, which forgets nothing before it has expired.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{
    law::Lookup,
    shard::{Entry, PENDING, Shard, Tick},
    token::{Digest, Token},
};

pub(super) const SHARDS: usize = 256;

/// How an entry was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    /// Redis holds it and there is no room: the horizon was raised.
    OnlyByRedis,
    /// Nobody else holds it and there is no room: it has to become a cut-off of everybody.
    No,
}

/// Revocations by digest. About 30 to 57 bytes for each.
pub(super) struct Table {
    shards: Box<[RwLock<Shard>]>,
    len: AtomicUsize,
    bound: usize,
    /// Not all revocations of what was issued before are held here: milliseconds since 1970, 0 for
    /// none.
    horizon: AtomicU64,
    newest_evicted: AtomicU32,
    /// What was issued before is revoked, whoever has it: milliseconds since 1970, 0 for none.
    global_cut_off: AtomicU64,
    /// The same, as Redis has it.
    global_cut_off_in_redis: AtomicU64,
}

impl Table {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            len: AtomicUsize::new(0),
            bound: bound.max(1),
            horizon: AtomicU64::new(0),
            newest_evicted: AtomicU32::new(PENDING),
            global_cut_off: AtomicU64::new(0),
            global_cut_off_in_redis: AtomicU64::new(0),
        }
    }

    /// What is known here of this token.
    #[inline]
    pub(super) fn lookup(&self, token: &Token) -> Lookup {
        let global_cut_off = self.global_cut_off.load(Ordering::Relaxed);
        let Some(id) = token.id else {
            return Lookup { listed: true, subject_cut_off: 0, global_cut_off };
        };
        if self.len.load(Ordering::Relaxed) == 0 {
            return Lookup { global_cut_off, ..Lookup::default() };
        }
        let listed = self.read(id).lists(id);
        let subject_cut_off = token.subject.and_then(|subject| self.read(subject).cut_off(subject));
        Lookup { listed, subject_cut_off: subject_cut_off.unwrap_or(0), global_cut_off }
    }

    /// Takes in an entry that is pending, or that Redis held at `tick`.
    ///
    /// At the bound what has expired goes first, then what Redis holds as well makes room for what
    /// is pending: the horizon, here `now`, says that something is missing.
    pub(super) fn insert(&self, entry: Entry, tick: Tick, now: u64) -> Kept {
        let mut shard = self.write(entry.digest);
        let before = shard.len();
        if before > 0 && !self.has_room() {
            shard.purge(now);
        }
        let known = shard.knows(entry.digest);
        let kept = if known || self.has_room_beside(before - shard.len()) {
            Kept::Yes
        } else {
            let gone = if tick == PENDING { shard.evict_soonest() } else { Some(tick) };
            gone.inspect(|tick| self.raise_horizon(now, *tick));
            match gone {
                Some(_) if tick == PENDING => Kept::Yes,
                Some(_) => Kept::OnlyByRedis,
                None => Kept::No,
            }
        };
        if kept == Kept::Yes {
            shard.merge(entry, tick);
        }
        self.count(before, shard.len());
        drop(shard);
        if kept == Kept::No && self.make_room(now) { self.insert(entry, tick, now) } else { kept }
    }

    /// Forgets one entry that Redis holds, of any shard.
    fn make_room(&self, now: u64) -> bool {
        self.shards.iter().any(|shard| {
            let mut shard = shard.write();
            let Some(tick) = shard.evict_soonest() else { return false };
            self.len.fetch_sub(1, Ordering::Relaxed);
            self.raise_horizon(now, tick);
            true
        })
    }

    fn has_room(&self) -> bool {
        self.has_room_beside(0)
    }

    fn has_room_beside(&self, gone: usize) -> bool {
        self.len.load(Ordering::Relaxed).saturating_sub(gone) < self.bound
    }

    fn count(&self, before: usize, after: usize) {
        if after >= before {
            self.len.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.len.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Entries of one shard that Redis does not hold yet.
    pub(super) fn pending(&self, shard: usize) -> Vec<Entry> {
        self.shards.get(shard).map(|shard| shard.read().pending()).unwrap_or_default()
    }

    /// Redis holds these.
    pub(super) fn confirm(&self, entries: &[Entry], tick: Tick) {
        for entry in entries {
            let mut shard = self.write(entry.digest);
            let before = shard.len();
            shard.merge(*entry, tick);
            self.count(before, shard.len());
        }
    }

    /// Redis may have lost what it was told at `since` or later: that is pending again. What was
    /// dropped at the bound nobody can tell any more: the horizon becomes a cut-off of everybody.
    pub(super) fn mark_pending(&self, since: Tick) {
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.mark_pending(since);
        }
        self.global_cut_off_in_redis.store(0, Ordering::Relaxed);
        if self.newest_evicted.load(Ordering::Relaxed) >= since {
            self.raise_global_cut_off(self.horizon());
        }
    }

    /// Forgets what has expired.
    pub(super) fn purge(&self, now: u64) {
        for shard in &self.shards {
            let mut shard = shard.write();
            let before = shard.len();
            shard.purge(now);
            self.count(before, shard.len());
        }
    }

    /// Tokens issued before the horizon are not judged clear by what is held here.
    pub(super) fn horizon(&self) -> u64 {
        self.horizon.load(Ordering::Relaxed)
    }

    /// Something was dropped that Redis was known to hold at `tick`.
    fn raise_horizon(&self, to: u64, tick: Tick) {
        self.newest_evicted.fetch_max(tick, Ordering::Relaxed);
        if self.horizon.fetch_max(to, Ordering::Relaxed) == 0 {
            let bound = self.bound;
            tracing::warn!(bound, "the table of revocations is full: older tokens need Redis");
        }
    }

    pub(super) fn global_cut_off(&self) -> u64 {
        self.global_cut_off.load(Ordering::Relaxed)
    }

    pub(super) fn raise_global_cut_off(&self, to: u64) {
        self.global_cut_off.fetch_max(to, Ordering::Relaxed);
    }

    /// Redis has a cut-off of everybody.
    pub(super) fn redis_has_global_cut_off(&self, at: u64) {
        self.raise_global_cut_off(at);
        self.global_cut_off_in_redis.fetch_max(at, Ordering::Relaxed);
    }

    /// The cut-off of everybody, when Redis does not have it yet.
    pub(super) fn pending_global_cut_off(&self) -> Option<u64> {
        let global_cut_off = self.global_cut_off();
        (global_cut_off > self.global_cut_off_in_redis.load(Ordering::Relaxed))
            .then_some(global_cut_off)
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn read(&self, digest: Digest) -> RwLockReadGuard<'_, Shard> {
        // One byte: always in range.
        self.shards[digest.shard()].read()
    }

    fn write(&self, digest: Digest) -> RwLockWriteGuard<'_, Shard> {
        self.shards[digest.shard()].write()
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
