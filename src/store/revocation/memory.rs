//! What this instance knows: an exact table, which forgets nothing before it has expired.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{
    clock::Until,
    law::Known,
    token::{Digest, DigestHasher, Token},
};

pub(super) const SHARDS: usize = 256;

/// One revocation: of a token id, or of what a subject was issued before an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) until: Until,
    /// Milliseconds since 1970; 0 for a token id.
    pub(super) cut_off: u64,
}

/// When Redis was known to hold an entry: seconds since the start, from 1. 0: it does not yet.
pub(super) type Tick = u32;
pub(super) const PENDING: Tick = 0;

/// Eight bytes beside the sixteen of the digest.
#[derive(Clone, Copy)]
struct Id {
    until: Until,
    held_by_redis: Tick,
}

#[derive(Clone, Copy)]
struct CutOff {
    at: u64,
    until: Until,
    held_by_redis: Tick,
}

#[derive(Default)]
struct Shard {
    ids: HashMap<Digest, Id, DigestHasher>,
    cut_offs: HashMap<Digest, CutOff, DigestHasher>,
    /// Some may be pending; if not, nobody needs to look.
    may_owe: AtomicBool,
}

impl Shard {
    fn len(&self) -> usize {
        self.ids.len() + self.cut_offs.len()
    }

    fn entries(&self) -> impl Iterator<Item = (Entry, Tick)> {
        let ids = self.ids.iter().map(|(digest, id)| {
            (Entry { digest: *digest, until: id.until, cut_off: 0 }, id.held_by_redis)
        });
        let cut_offs = self.cut_offs.iter().map(|(digest, cut)| {
            (Entry { digest: *digest, until: cut.until, cut_off: cut.at }, cut.held_by_redis)
        });
        ids.chain(cut_offs)
    }

    fn ticks(&mut self) -> impl Iterator<Item = &mut Tick> {
        let ids = self.ids.values_mut().map(|id| &mut id.held_by_redis);
        ids.chain(self.cut_offs.values_mut().map(|cut| &mut cut.held_by_redis))
    }

    fn purge(&mut self, now: u64) {
        self.ids.retain(|_, id| !id.until.is_over(now));
        self.cut_offs.retain(|_, cut| !cut.until.is_over(now));
        for_less(&mut self.ids);
        for_less(&mut self.cut_offs);
    }

    /// Takes in `entry`; what is known already is raised, never lowered.
    fn merge(&mut self, entry: Entry, tick: Tick) {
        let Entry { digest, until, cut_off } = entry;
        if tick == PENDING {
            *self.may_owe.get_mut() = true;
        }
        if cut_off == 0 {
            let new = Id { until, held_by_redis: tick };
            let id = self.ids.entry(digest).or_insert(new);
            let raised = until > id.until;
            id.until = id.until.max(until);
            id.held_by_redis = held(id.held_by_redis, tick, raised, until == id.until);
            return;
        }
        let new = CutOff { at: cut_off, until, held_by_redis: tick };
        let cut = self.cut_offs.entry(digest).or_insert(new);
        let raised = cut_off > cut.at || until > cut.until;
        cut.at = cut.at.max(cut_off);
        cut.until = cut.until.max(until);
        let same = (cut_off, until) == (cut.at, cut.until);
        cut.held_by_redis = held(cut.held_by_redis, tick, raised, same);
    }

    /// Forgets the one that expires first of those that Redis holds; returns since when it does.
    fn forget_least(&mut self) -> Option<Tick> {
        let spare = self.entries().filter(|(_, tick)| *tick != PENDING);
        let (Entry { digest, .. }, tick) = spare.min_by_key(|(entry, _)| entry.until)?;
        if self.ids.remove(&digest).is_none() {
            self.cut_offs.remove(&digest);
        }
        Some(tick)
    }
}

/// Does Redis hold what stands here now, after something was told with `tick`?
const fn held(before: Tick, tick: Tick, raised: bool, same: bool) -> Tick {
    match (tick, raised) {
        // Redis holds just this.
        (1.., _) if same => tick,
        (PENDING, true) => PENDING,
        _ => before,
    }
}

/// Gives memory back after many have expired.
fn for_less<V>(map: &mut HashMap<Digest, V, DigestHasher>) {
    if map.capacity() > 4 * map.len() + 64 {
        map.shrink_to(2 * map.len());
    }
}

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
        let listed = self.read(id).ids.contains_key(&id);
        let of_subject = token
            .subject
            .and_then(|subject| self.read(subject).cut_offs.get(&subject).map(|cut| cut.at));
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
        let known =
            shard.ids.contains_key(&entry.digest) || shard.cut_offs.contains_key(&entry.digest);
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
        if !shard.may_owe.load(Ordering::Relaxed) {
            return Some(Vec::new());
        }
        let pending = shard.entries().filter(|(_, tick)| *tick == PENDING);
        let pending: Vec<_> = pending.map(|(entry, _)| entry).collect();
        // Nobody adds to it while the lock is held for reading.
        shard.may_owe.store(!pending.is_empty(), Ordering::Relaxed);
        Some(pending)
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
            shard.ticks().filter(|tick| **tick >= since).for_each(|tick| *tick = PENDING);
            *shard.may_owe.get_mut() = true;
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
