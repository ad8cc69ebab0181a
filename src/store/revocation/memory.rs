//! What this instance knows: an exact table, which forgets nothing before it has expired.

use std::sync::{
    PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use super::{
    law::Known,
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
    /// Not all revocations of what was issued before are held here: milliseconds since 1970, 0 for none.
    horizon: AtomicU64,
    newest_gone: AtomicU32,
    /// What was issued before is revoked, whoever has it: milliseconds since 1970, 0 for none.
    of_all: AtomicU64,
    /// The same, as Redis has it.
    of_all_in_redis: AtomicU64,
}

impl Table {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            len: AtomicUsize::new(0),
            bound: bound.max(1),
            horizon: AtomicU64::new(0),
            newest_gone: AtomicU32::new(PENDING),
            of_all: AtomicU64::new(0),
            of_all_in_redis: AtomicU64::new(0),
        }
    }

    /// What is known here of this token.
    #[inline]
    pub(super) fn known(&self, token: &Token) -> Known {
        let of_all = self.of_all.load(Ordering::Relaxed);
        let Some(id) = token.id else { return Known { listed: true, of_subject: 0, of_all } };
        if self.len.load(Ordering::Relaxed) == 0 {
            return Known { of_all, ..Known::default() };
        }
        let listed = self.read(id).lists(id);
        let of_subject = token.subject.and_then(|subject| self.read(subject).cut_off(subject));
        Known { listed, of_subject: of_subject.unwrap_or(0), of_all }
    }

    /// Takes in an entry that is pending, or that Redis held at `tick`.
    ///
    /// At the bound what has expired goes first, then what Redis holds as well makes room for what is
    /// pending: the horizon, here `now`, says that something is missing.
    pub(super) fn note(&self, entry: Entry, tick: Tick, now: u64) -> Kept {
        let mut shard = self.write(entry.digest);
        let before = shard.len();
        if before > 0 && !self.has_room() {
            shard.purge(now);
        }
        let known = shard.knows(entry.digest);
        let kept = if known || self.has_room_beside(before - shard.len()) {
            Kept::Yes
        } else {
            let gone = if tick == PENDING { shard.forget_least() } else { Some(tick) };
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
        if kept == Kept::No && self.make_room(now) { self.note(entry, tick, now) } else { kept }
    }

    /// Forgets one entry that Redis holds, of any shard.
    fn make_room(&self, now: u64) -> bool {
        self.shards.iter().any(|shard| {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let Some(tick) = shard.forget_least() else { return false };
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

    /// Entries of one shard that Redis does not hold yet; `None` after the last shard.
    pub(super) fn pending(&self, shard: usize) -> Option<Vec<Entry>> {
        let shard = self.shards.get(shard)?.read().unwrap_or_else(PoisonError::into_inner);
        Some(shard.pending())
    }

    /// Redis holds these.
    pub(super) fn settle(&self, entries: &[Entry], tick: Tick) {
        for entry in entries {
            let mut shard = self.write(entry.digest);
            let before = shard.len();
            shard.merge(*entry, tick);
            self.count(before, shard.len());
        }
    }

    /// Redis may have lost what it was told at `since` or later: that is pending again. What was dropped at the bound
    /// nobody can tell any more: the horizon becomes a cut-off of everybody.
    pub(super) fn unsettle(&self, since: Tick) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.unsettle(since);
        }
        self.of_all_in_redis.store(0, Ordering::Relaxed);
        if self.newest_gone.load(Ordering::Relaxed) >= since {
            self.raise_of_all(self.horizon());
        }
    }

    /// Forgets what has expired.
    pub(super) fn purge(&self, now: u64) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
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
        self.newest_gone.fetch_max(tick, Ordering::Relaxed);
        if self.horizon.fetch_max(to, Ordering::Relaxed) == 0 {
            let bound = self.bound;
            tracing::warn!(bound, "the table of revocations is full: older tokens need Redis");
        }
    }

    pub(super) fn of_all(&self) -> u64 {
        self.of_all.load(Ordering::Relaxed)
    }

    pub(super) fn raise_of_all(&self, to: u64) {
        self.of_all.fetch_max(to, Ordering::Relaxed);
    }

    /// Redis has a cut-off of everybody.
    pub(super) fn redis_has_of_all(&self, at: u64) {
        self.raise_of_all(at);
        self.of_all_in_redis.fetch_max(at, Ordering::Relaxed);
    }

    /// The cut-off of everybody, when Redis does not have it yet.
    pub(super) fn pending_of_all(&self) -> Option<u64> {
        let of_all = self.of_all();
        (of_all > self.of_all_in_redis.load(Ordering::Relaxed)).then_some(of_all)
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn read(&self, digest: Digest) -> RwLockReadGuard<'_, Shard> {
        // One byte: always in range.
        self.shards[digest.shard()].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, digest: Digest) -> RwLockWriteGuard<'_, Shard> {
        self.shards[digest.shard()].write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
