//! The newest that was seen here of each session: nothing older is taken for it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use super::{id::SessionName, record::Changes, shards::Shards, snapshot::Snapshot};
use crate::memory::GenerationalCache;

/// What changes without Redis may take in memory, in bytes.
const ROOM: usize = 8 * 1024 * 1024;

/// The newest of one session.
#[derive(Clone)]
struct HighWaterMark {
    version: u64,
    stamp: u32,
    /// What was changed without Redis up to `stamp`, so that a request with an older cookie (sent
    /// before the answer with the newer one came) goes on from there. Not kept when there is no
    /// room.
    changes: Option<Arc<Changes>>,
    /// The cookie that holds just this version.
    cookie: Option<KnownCookie>,
}

/// A cookie that is known to be as new as can be: it need not be opened to find that out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownCookie {
    /// A keyed hash of it. That another has the same would cost that other one a re-issue, no more.
    pub(super) hash: u64,
    /// When Redis verified what is in it, in ms of the wall clock.
    pub(super) verified: u64,
    /// Stands for the data that Redis held then.
    pub(super) epoch: u64,
}

/// Version high-water marks, and what was changed on top of them in an outage.
///
/// # At the bound
///
/// Marks of sessions that were not used for the longest time are forgotten: a replay of an older
/// copy of one of those would not be noticed here in an outage. A mark is only made for a session
/// that Redis or a key of ours vouches for.
pub(super) struct HighWaterMarks {
    shards: Shards<Shard>,
    hasher: RandomState,
}

struct Shard {
    marks: GenerationalCache<SessionName, HighWaterMark>,
    /// Bytes that are left for changes.
    room: usize,
}

/// How a snapshot compares with what was seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reconciled {
    /// As new, or newer.
    Current,
    /// Older, but what was changed since is known here: it has been brought up to date.
    Updated,
    /// Older.
    Stale,
}

impl HighWaterMarks {
    pub(super) fn new(capacity: usize) -> Self {
        let shards = Shards::new(|| Shard {
            marks: GenerationalCache::new(capacity / Shards::<Shard>::COUNT),
            room: ROOM / Shards::<Shard>::COUNT,
        });
        Self { shards, hasher: RandomState::new() }
    }

    /// Redis holds this version.
    pub(super) fn raise(&self, name: SessionName, version: u64) {
        self.raise_to(name, (version, 0), || None);
    }

    /// This snapshot was believed.
    pub(super) fn observe(&self, name: SessionName, snapshot: &Snapshot) {
        let changes = || (snapshot.stamp > 0).then(|| Arc::new(snapshot.changes.clone()));
        self.raise_to(name, (snapshot.version, snapshot.stamp), changes);
    }

    fn raise_to(
        &self,
        name: SessionName,
        (version, stamp): (u64, u32),
        changes: impl FnOnce() -> Option<Arc<Changes>>,
    ) {
        let mut shard = self.shards.of(name);
        let is_as_high = |mark: &&HighWaterMark| (mark.version, mark.stamp) >= (version, stamp);
        if shard.marks.get_young(&name).filter(is_as_high).is_some() {
            return;
        }
        // Put in again also when it is as high: it was used.
        let known = shard.marks.get(&name).filter(is_as_high).cloned();
        let raised = || HighWaterMark { version, stamp, changes: changes(), cookie: None };
        shard.put(name, known.unwrap_or_else(raised));
    }

    /// The highest version that was seen, and the cookie that holds it.
    pub(super) fn newest(&self, name: SessionName) -> Option<(u64, Option<KnownCookie>)> {
        self.shards.of(name).marks.get(&name).map(|mark| (mark.version, mark.cookie))
    }

    /// This cookie holds this version, and nothing else.
    pub(super) fn set_cookie(&self, name: SessionName, version: u64, cookie: KnownCookie) {
        let mut shard = self.shards.of(name);
        if let Some(mark) = shard.marks.get_mut(&name).filter(|mark| mark.version == version) {
            mark.cookie = Some(cookie);
        }
    }

    /// The hash of a cookie, for this process only.
    pub(super) fn hash(&self, cookie: &str) -> u64 {
        self.hasher.hash_one(cookie)
    }

    /// Compares a snapshot with what was seen here, and brings it up to date where that is
    /// possible.
    pub(super) fn reconcile(&self, name: SessionName, snapshot: &mut Snapshot) -> Reconciled {
        let shard = self.shards.of(name);
        let Some(mark) = shard.marks.get(&name) else { return Reconciled::Current };
        if snapshot.version > mark.version {
            return Reconciled::Current;
        }
        if snapshot.version < mark.version {
            return Reconciled::Stale;
        }
        let Some(changes) = &mark.changes else {
            let is_older = snapshot.stamp < mark.stamp;
            return if is_older { Reconciled::Stale } else { Reconciled::Current };
        };
        let changes = merged(snapshot, mark.stamp, changes);
        if snapshot.stamp >= mark.stamp && changes == snapshot.changes {
            return Reconciled::Current;
        }
        snapshot.changes = changes;
        snapshot.stamp = snapshot.stamp.max(mark.stamp);
        Reconciled::Updated
    }

    /// Puts `more` on top of a snapshot and of what was changed meanwhile, as the newest of all, if
    /// `fits` agrees. `None`: it does not, or a newer version was seen.
    pub(super) fn change(
        &self,
        name: SessionName,
        snapshot: &Snapshot,
        more: &Changes,
        fits: impl FnOnce(&Snapshot) -> bool,
    ) -> Option<Snapshot> {
        let mut shard = self.shards.of(name);
        let mut changed = snapshot.clone();
        let mark = shard.marks.get(&name).filter(|mark| mark.version >= snapshot.version);
        if let Some(mark) = mark {
            if mark.version > snapshot.version {
                return None;
            }
            changed.stamp = snapshot.stamp.max(mark.stamp);
            if let Some(changes) = &mark.changes {
                changed.changes = merged(snapshot, mark.stamp, changes);
            }
        }
        changed.changes = changed.changes.then(more);
        changed.stamp = changed.stamp.checked_add(1)?;
        if !fits(&changed) {
            return None;
        }
        let changes = Some(Arc::new(changed.changes.clone()));
        shard.put(
            name,
            HighWaterMark { version: changed.version, stamp: changed.stamp, changes, cookie: None },
        );
        Some(changed)
    }
}

/// Both, the higher stamp on top.
fn merged(snapshot: &Snapshot, stamp: u32, changes: &Changes) -> Changes {
    if snapshot.stamp > stamp {
        changes.clone().then(&snapshot.changes)
    } else {
        snapshot.changes.clone().then(changes)
    }
}

impl Shard {
    fn put(&mut self, name: SessionName, mut mark: HighWaterMark) {
        if let Some(replaced) = self.marks.remove(&name) {
            self.room += replaced.size();
        }
        if mark.size() > self.room {
            mark.changes = None;
        }
        self.room -= mark.size();
        self.room += self.marks.put(name, mark).map(|forgotten| forgotten.size()).sum::<usize>();
    }
}

impl HighWaterMark {
    /// Bytes of its changes, about.
    fn size(&self) -> usize {
        let value = |(key, json): (&String, &Option<String>)| {
            key.len() + json.as_ref().map_or(0, String::len) + 96
        };
        self.changes
            .as_ref()
            .map_or(0, |changes| changes.values.iter().map(value).sum::<usize>() + 64)
    }
}

#[cfg(test)]
#[path = "high_water_marks_tests.rs"]
mod tests;
