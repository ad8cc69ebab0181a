//! The few connections that are kept, each shared by all callers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, futures::Notified};

use super::conn::Conn;
use crate::striped::Striped;

/// One connection that is kept.
pub(super) struct SharedConnection {
    pub(super) conn: Conn,
    /// One `Notify` per stripe, so that threads do not contend on one waiter list.
    releases: Striped<Notify>,
    retired: AtomicBool,
}

impl SharedConnection {
    pub(super) fn new(conn: Conn) -> Arc<Self> {
        Arc::new(Self { conn, releases: Striped::default(), retired: false.into() })
    }

    /// Nothing new is to be sent on it.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Ends when the answer that the caller waits for will not come.
    pub(super) fn released(&self) -> Notified<'_> {
        self.releases.local().notified()
    }

    fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    fn release(&self) {
        self.releases.iter().for_each(Notify::notify_waiters);
    }
}

/// The connections that are kept now; empty while there are none.
#[derive(Default)]
pub(super) struct SharedConnections {
    current: ArcSwap<Vec<Arc<SharedConnection>>>,
    next: AtomicUsize,
}

impl SharedConnections {
    /// One of them, in turn.
    pub(super) fn pick(&self) -> Option<Arc<SharedConnection>> {
        let current = self.current.load();
        match current.as_slice() {
            [] => None,
            [only] => Some(Arc::clone(only)),
            several => {
                let next = self.next.fetch_add(1, Ordering::Relaxed);
                several.get(next % several.len()).cloned()
            }
        }
    }

    pub(super) fn all(&self) -> Arc<Vec<Arc<SharedConnection>>> {
        self.current.load_full()
    }

    /// Keeps these from now on. Calls in flight on the others are answered there, except on those
    /// that are `dead`.
    pub(super) fn install(
        &self,
        connections: Vec<Arc<SharedConnection>>,
        dead: &[Arc<SharedConnection>],
    ) {
        let kept = Arc::new(connections);
        let before = self.current.swap(Arc::clone(&kept));
        for one in before.iter().filter(|one| !kept.iter().any(|kept| Arc::ptr_eq(kept, one))) {
            one.retire();
        }
        for one in dead {
            one.release();
        }
    }

    /// Callers that wait for an answer stop waiting.
    pub(super) fn release(&self) {
        for connection in self.current.load().iter() {
            connection.release();
        }
    }

    /// Keeps none, and nobody waits for an answer.
    pub(super) fn close(&self) {
        let before = self.all();
        self.install(Vec::new(), &before);
    }
}
