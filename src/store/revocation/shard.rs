//! A part of the table: plain maps, which forget nothing by themselves.

use std::collections::HashMap;

use super::{
    clock::Until,
    token::{Digest, DigestHasher},
};

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

/// A part of the table, behind a lock of its own.
#[derive(Default)]
pub(super) struct Shard {
    ids: HashMap<Digest, Id, DigestHasher>,
    cut_offs: HashMap<Digest, CutOff, DigestHasher>,
    /// Some may be pending; if not, nobody needs to look.
    may_have_pending: bool,
}

impl Shard {
    #[inline]
    pub(super) fn lists(&self, digest: Digest) -> bool {
        self.ids.contains_key(&digest)
    }

    #[inline]
    pub(super) fn cut_off(&self, digest: Digest) -> Option<u64> {
        self.cut_offs.get(&digest).map(|cut| cut.at)
    }

    pub(super) fn knows(&self, digest: Digest) -> bool {
        self.lists(digest) || self.cut_offs.contains_key(&digest)
    }

    pub(super) fn pending(&mut self) -> Vec<Entry> {
        if !self.may_have_pending {
            return Vec::new();
        }
        let pending = self.entries().filter(|(_, tick)| *tick == PENDING);
        let pending: Vec<_> = pending.map(|(entry, _)| entry).collect();
        self.may_have_pending = !pending.is_empty();
        pending
    }

    /// What Redis was told at `since` or later is pending again.
    pub(super) fn mark_pending(&mut self, since: Tick) {
        let ids = self.ids.values_mut().map(|id| &mut id.held_by_redis);
        let ticks = ids.chain(self.cut_offs.values_mut().map(|cut| &mut cut.held_by_redis));
        ticks.filter(|tick| **tick >= since).for_each(|tick| *tick = PENDING);
        self.may_have_pending = true;
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

    /// Forgets what has expired; returns how many that were.
    pub(super) fn purge(&mut self, now: u64) -> usize {
        let before = self.ids.len() + self.cut_offs.len();
        self.ids.retain(|_, id| !id.until.is_over(now));
        self.cut_offs.retain(|_, cut| !cut.until.is_over(now));
        shrink(&mut self.ids);
        shrink(&mut self.cut_offs);
        before - self.ids.len() - self.cut_offs.len()
    }

    /// Takes in `entry`; what is known already is raised, never lowered.
    pub(super) fn merge(&mut self, entry: Entry, tick: Tick) {
        let Entry { digest, until, cut_off } = entry;
        self.may_have_pending |= tick == PENDING;
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
    pub(super) fn evict_soonest(&mut self) -> Option<Tick> {
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
fn shrink<V>(map: &mut HashMap<Digest, V, DigestHasher>) {
    if map.capacity() > 4 * map.len() + 64 {
        map.shrink_to(2 * map.len());
    }
}
