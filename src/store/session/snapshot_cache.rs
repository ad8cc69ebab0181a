//! Snapshots that were opened in this outage, so that a cookie shown again is compared, not
//! decrypted.

use std::sync::Arc;

use ctutils::CtEq;

use super::{id::SessionName, shards::Shards, snapshot::Snapshot};
use crate::memory::GenerationalCache;

/// How many: with a cookie of 4 KiB and what is in it each, 8 MiB.
const CAPACITY: usize = 1_024;

/// In an outage a client shows the same cookie with every request: it is opened for the first
/// two, and compared from then on. A client that comes once in a while gets no copy: making
/// one would cost more than it saves.
///
/// That a cookie is here says what is in it, no more: whether that is believed is judged anew each
/// time. It is forgotten when its session ends or when 1 024 others are used, and all are when
/// the outage is over.
pub(super) struct SnapshotCache {
    shards: Shards<Shard>,
}

/// `None`: shown once.
type Shard = GenerationalCache<SessionName, Option<Box<Entry>>>;

struct Entry {
    /// The name of the cookie, which is sealed with it.
    cookie: Arc<str>,
    sealed: Box<str>,
    snapshot: Snapshot,
}

impl SnapshotCache {
    pub(super) fn new() -> Self {
        Self { shards: Shards::new(empty) }
    }

    /// What this very cookie opened to.
    pub(super) fn get(&self, name: SessionName, cookie: &str, sealed: &str) -> Option<Snapshot> {
        let shard = self.shards.of(name);
        let entry = shard.get(&name)?.as_deref()?;
        // In constant time: how long it takes tells nobody how much of a cookie was guessed.
        let is_same =
            *entry.cookie == *cookie && entry.sealed.as_bytes().ct_eq(sealed.as_bytes()).into();
        is_same.then(|| entry.snapshot.clone())
    }

    /// This cookie was opened.
    pub(super) fn put(
        &self,
        name: SessionName,
        cookie: &Arc<str>,
        sealed: &str,
        snapshot: &Snapshot,
    ) {
        let entry = || Entry {
            cookie: Arc::clone(cookie),
            sealed: sealed.into(),
            snapshot: snapshot.clone(),
        };
        let mut shard = self.shards.of(name);
        let again = shard.get(&name).is_some().then(|| Box::new(entry()));
        let forgotten = shard.put(name, again);
        // What was forgotten is freed without the lock.
        drop(shard);
        drop(forgotten);
    }

    pub(super) fn forget(&self, name: SessionName) {
        let forgotten = self.shards.of(name).remove(&name);
        drop(forgotten);
    }

    pub(super) fn forget_all(&self) {
        for mut shard in self.shards.iter() {
            *shard = empty();
        }
    }
}

fn empty() -> Shard {
    GenerationalCache::new(CAPACITY / Shards::<Shard>::COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::session::{
        expiry::{Expiry, Times},
        id::SessionId,
    };

    fn snapshot(id: SessionId) -> Snapshot {
        Snapshot::new_offline(id, Times::beginning(1_000, Expiry::default()), Some("alice".into()))
    }

    #[test]
    fn every_byte_counts() {
        let (cache, id) = (SnapshotCache::new(), SessionId::random());
        let (name, snapshot) = (id.name(), snapshot(id));
        cache.put(name, &"sd".into(), "sealed", &snapshot);
        assert!(cache.get(name, "sd", "sealed").is_none(), "shown once");
        cache.put(name, &"sd".into(), "sealed", &snapshot);
        assert!(cache.get(name, "sd", "sealed") == Some(snapshot.clone()));
        for other in ["", "sealeD", "Sealed", "seale", "sealed ", "ssealed"] {
            assert!(cache.get(name, "sd", other).is_none(), "{other}");
        }
        assert!(cache.get(name, "other", "sealed").is_none());
        assert!(cache.get(SessionId::random().name(), "sd", "sealed").is_none());
        cache.put(name, &"sd".into(), "newer", &snapshot);
        assert!(cache.get(name, "sd", "sealed").is_none());
        cache.forget(name);
        assert!(cache.get(name, "sd", "newer").is_none());
    }

    #[test]
    fn bounded_and_emptied() {
        let cache = SnapshotCache::new();
        let kept = || -> usize { cache.shards.iter().map(|shard| shard.len()).sum() };
        for _ in 0..CAPACITY * 3 {
            let id = SessionId::random();
            cache.put(id.name(), &"sd".into(), "sealed", &snapshot(id));
            cache.put(id.name(), &"sd".into(), "sealed", &snapshot(id));
        }
        assert!((CAPACITY / 4..=CAPACITY).contains(&kept()), "{}", kept());
        cache.forget_all();
        assert_eq!(kept(), 0);
    }
}
