//! The newest that was seen here of each session: nothing older is taken for it.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{id::SessionName, record::Changes, snapshot::Snapshot};
use crate::memory::Recent;

const SHARDS: usize = 16;
/// What changes without Redis may take in memory, in bytes.
const ROOM: usize = 8 * 1024 * 1024;

/// The newest of one session.
#[derive(Clone)]
struct Mark {
    version: u64,
    stamp: u32,
    /// What was changed without Redis up to `stamp`, so that a request with an older cookie (sent before the answer with the
    /// newer one came) goes on from there. Not kept when there is no room.
    changes: Option<Arc<Changes>>,
    /// The cookie that holds just this version.
    sealed: Option<Sealed>,
}

/// A cookie that is known to be as new as can be: it need not be opened to find that out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sealed {
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
/// Marks of sessions that were not used for the longest time are forgotten: a replay of an older copy of one of those would
/// not be noticed here in an outage. A mark is only made for a session that Redis or a key of ours vouches for.
pub(super) struct Marks {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

struct Shard {
    marks: Recent<SessionName, Mark>,
    /// Bytes that are left for changes.
    room: usize,
}

/// How a snapshot compares with what was seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Against {
    /// As new, or newer.
    Newest,
    /// Older, but what was changed since is known: it has been brought up to date.
    Amended,
    /// Older.
    Older,
}

impl Marks {
    pub(super) fn new(bound: usize) -> Self {
        let shard =
            || Mutex::new(Shard { marks: Recent::new(bound / SHARDS), room: ROOM / SHARDS });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher: RandomState::new() }
    }

    /// Redis holds this version.
    pub(super) fn raise(&self, name: SessionName, version: u64) {
        let mut shard = self.shard(name);
        if shard.marks.get_young(&name).is_some_and(|mark| mark.version >= version) {
            return;
        }
        let held = shard.marks.get(&name).filter(|mark| mark.version >= version).cloned();
        // Put in again also when it is not new: it was used.
        shard.put(name, held.unwrap_or(Mark { version, stamp: 0, changes: None, sealed: None }));
    }

    /// This snapshot was believed.
    pub(super) fn see(&self, name: SessionName, snapshot: &Snapshot) {
        let seen = (snapshot.version, snapshot.stamp);
        let mut shard = self.shard(name);
        let is_seen = |mark: &Mark| (mark.version, mark.stamp) >= seen;
        if shard.marks.get_young(&name).is_some_and(&is_seen) {
            return;
        }
        let held = shard.marks.get(&name).filter(|mark| is_seen(mark)).cloned();
        let mark = held.unwrap_or_else(|| Mark {
            version: snapshot.version,
            stamp: snapshot.stamp,
            changes: (snapshot.stamp > 0).then(|| Arc::new(snapshot.changes.clone())),
            sealed: None,
        });
        shard.put(name, mark);
    }

    /// The highest version that was seen, and the cookie that holds it.
    pub(super) fn newest(&self, name: SessionName) -> Option<(u64, Option<Sealed>)> {
        self.shard(name).marks.get(&name).map(|mark| (mark.version, mark.sealed))
    }

    /// This cookie holds this version, and nothing else.
    pub(super) fn holds(&self, name: SessionName, version: u64, sealed: Sealed) {
        let mut shard = self.shard(name);
        if let Some(mark) = shard.marks.get_mut(&name).filter(|mark| mark.version == version) {
            mark.sealed = Some(sealed);
        }
    }

    /// The hash of a cookie, for this process only.
    pub(super) fn hash(&self, sealed: &str) -> u64 {
        self.hasher.hash_one(sealed)
    }

    /// Compares a snapshot with what was seen here, and brings it up to date where that is possible.
    pub(super) fn amend(&self, name: SessionName, snapshot: &mut Snapshot) -> Against {
        let shard = self.shard(name);
        let Some(mark) = shard.marks.get(&name) else { return Against::Newest };
        if snapshot.version > mark.version {
            return Against::Newest;
        }
        if snapshot.version < mark.version {
            return Against::Older;
        }
        match &mark.changes {
            Some(changes) if snapshot.stamp >= mark.stamp && **changes == snapshot.changes => {
                Against::Newest
            }
            Some(changes) => {
                let before = (snapshot.stamp, snapshot.changes.clone());
                snapshot.changes = merged(snapshot, mark.stamp, changes);
                snapshot.stamp = snapshot.stamp.max(mark.stamp);
                let is_same = before == (snapshot.stamp, snapshot.changes.clone());
                if is_same { Against::Newest } else { Against::Amended }
            }
            None if snapshot.stamp < mark.stamp => Against::Older,
            None => Against::Newest,
        }
    }

    /// Puts `more` on top of a snapshot and of what was changed meanwhile, as the newest of all, if `fits` agrees.
    /// `None`: it does not, or a newer version was seen.
    pub(super) fn change(
        &self,
        name: SessionName,
        snapshot: &Snapshot,
        more: &Changes,
        fits: impl FnOnce(&Snapshot) -> bool,
    ) -> Option<Snapshot> {
        let mut shard = self.shard(name);
        let mut changed = snapshot.clone();
        let mut stamp = snapshot.stamp;
        if let Some(mark) = shard.marks.get(&name) {
            if mark.version > snapshot.version {
                return None;
            }
            if mark.version == snapshot.version {
                stamp = stamp.max(mark.stamp);
                if let Some(changes) = &mark.changes {
                    changed.changes = merged(snapshot, mark.stamp, changes);
                }
            }
        }
        changed.changes = changed.changes.then(more);
        changed.stamp = stamp.checked_add(1)?;
        if !fits(&changed) {
            return None;
        }
        let changes = Some(Arc::new(changed.changes.clone()));
        shard.put(
            name,
            Mark { version: changed.version, stamp: changed.stamp, changes, sealed: None },
        );
        Some(changed)
    }

    fn shard(&self, name: SessionName) -> MutexGuard<'_, Shard> {
        // The name is a hash already.
        let shard = &self.shards[name.first_byte() as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn put(&mut self, name: SessionName, mut mark: Mark) {
        if let Some(held) = self.marks.remove(&name) {
            self.room += held.size();
        }
        if mark.size() > self.room {
            mark.changes = None;
        }
        self.room -= mark.size();
        self.room += self.marks.put(name, mark).map(|forgotten| forgotten.size()).sum::<usize>();
    }
}

impl Mark {
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

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marks").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "marks_tests.rs"]
mod tests;
