//! Snapshots that were opened lately.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ctutils::CtEq;

use super::{id::SessionName, snapshot::Snapshot};
use crate::memory::Recent;

const SHARDS: usize = 16;
/// How many: with a cookie of 4 KiB and what is in it each, 8 MiB.
const BOUND: usize = 1_024;

/// In an outage a client shows the same cookie with every request: it is opened for the first two, and compared from then on.
/// (Of who comes only once in a while no copy is made: that would cost more than it saves.)
///
/// That a cookie is here says what is in it, no more: whether that is believed is judged anew each time. It is
/// forgotten when its session ends, when others are used, and all are when the outage is over.
pub(super) struct Lately {
    shards: Box<[Mutex<Shard>]>,
}

/// `None`: shown once.
type Shard = Recent<SessionName, Option<Box<Entry>>>;

struct Entry {
    /// The name of the cookie, which is sealed with it.
    cookie: &'static str,
    sealed: Box<str>,
    snapshot: Snapshot,
}

impl Lately {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::new(none())).collect() }
    }

    /// What this very cookie opened to.
    pub(super) fn get(&self, name: SessionName, cookie: &str, sealed: &str) -> Option<Snapshot> {
        let shard = self.shard(name);
        let entry = shard.get(&name)?.as_deref()?;
        // How long it takes tells nobody how much he has guessed.
        let is_same =
            entry.cookie == cookie && entry.sealed.as_bytes().ct_eq(sealed.as_bytes()).into();
        is_same.then(|| entry.snapshot.clone())
    }

    /// This cookie was opened.
    pub(super) fn put(
        &self,
        name: SessionName,
        cookie: &'static str,
        sealed: &str,
        snapshot: &Snapshot,
    ) {
        let entry = || Entry { cookie, sealed: sealed.into(), snapshot: snapshot.clone() };
        let mut shard = self.shard(name);
        let again = shard.get(&name).is_some().then(|| Box::new(entry()));
        let forgotten = shard.put(name, again);
        drop(shard);
        drop(forgotten);
    }

    pub(super) fn forget(&self, name: SessionName) {
        let forgotten = self.shard(name).remove(&name);
        drop(forgotten);
    }

    pub(super) fn forget_all(&self) {
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = none();
        }
    }

    fn shard(&self, name: SessionName) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[name.first_byte() as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn none() -> Shard {
    Recent::new(BOUND / SHARDS)
}

impl fmt::Debug for Lately {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lately").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::session::{
        expiry::{Expiry, Times},
        id::SessionId,
    };

    fn snapshot(id: SessionId) -> Snapshot {
        Snapshot::born(id, Times::beginning(1_000, Expiry::default()), Some("alice".into()))
    }

    #[test]
    fn every_byte_counts() {
        let (lately, id) = (Lately::new(), SessionId::random());
        let (name, snapshot) = (id.name(), snapshot(id));
        lately.put(name, "sd", "sealed", &snapshot);
        assert!(lately.get(name, "sd", "sealed").is_none(), "shown once");
        lately.put(name, "sd", "sealed", &snapshot);
        assert!(lately.get(name, "sd", "sealed") == Some(snapshot.clone()));
        for other in ["", "sealeD", "Sealed", "seale", "sealed ", "ssealed"] {
            assert!(lately.get(name, "sd", other).is_none(), "{other}");
        }
        assert!(lately.get(name, "other", "sealed").is_none());
        assert!(lately.get(SessionId::random().name(), "sd", "sealed").is_none());
        lately.put(name, "sd", "newer", &snapshot);
        assert!(lately.get(name, "sd", "sealed").is_none());
        lately.forget(name);
        assert!(lately.get(name, "sd", "newer").is_none());
    }

    #[test]
    fn bounded_and_emptied() {
        let lately = Lately::new();
        let kept =
            || -> usize { lately.shards.iter().map(|shard| shard.lock().unwrap().len()).sum() };
        for _ in 0..BOUND * 3 {
            let id = SessionId::random();
            lately.put(id.name(), "sd", "sealed", &snapshot(id));
            lately.put(id.name(), "sd", "sealed", &snapshot(id));
        }
        assert!((BOUND / 4..=BOUND).contains(&kept()), "{}", kept());
        lately.forget_all();
        assert_eq!(kept(), 0);
    }
}
