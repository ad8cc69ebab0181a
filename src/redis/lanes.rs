//! A few connections, each shared by all callers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
#[cfg(feature = "cluster")]
use deadpool_redis::cluster::ClusterConnection;
#[cfg(feature = "cluster")]
use deadpool_redis::redis::aio::ConnectionLike;
use deadpool_redis::redis::{Cmd, Pipeline, RedisResult, Value, aio::MultiplexedConnection};
use tokio::sync::{Notify, futures::Notified};

use super::carrier::Carrier;
use crate::striped::Striped;

/// A connection that any number of callers use at once.
#[derive(Clone)]
pub(super) enum Conn {
    Multiplexed(MultiplexedConnection, Option<Arc<Carrier>>),
    #[cfg(feature = "cluster")]
    Cluster(ClusterConnection),
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    Command(&'a Cmd),
    /// With the client's numbers of answers to skip and to keep.
    Pipeline(&'a Pipeline, usize, usize),
}

/// What comes back. An error of the server is a value in here.
pub(super) enum Reply {
    One(Value),
    Many(Vec<Value>),
}

impl Conn {
    pub(super) async fn send(&mut self, request: Request<'_>) -> RedisResult<Reply> {
        match self {
            Self::Multiplexed(conn, carrier) => {
                let _under_way = carrier.as_deref().map(Carrier::begin);
                match request {
                    Request::Command(cmd) => conn.send_packed_command(cmd).await.map(Reply::One),
                    Request::Pipeline(pipeline, skip, keep) => {
                        conn.send_packed_commands(pipeline, skip, keep).await.map(Reply::Many)
                    }
                }
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(conn) => match request {
                Request::Command(cmd) => conn.req_packed_command(cmd).await.map(Reply::One),
                Request::Pipeline(pipeline, skip, keep) => {
                    conn.req_packed_commands(pipeline, skip, keep).await.map(Reply::Many)
                }
            },
        }
    }
}

/// One connection that is kept.
pub(super) struct Lane {
    pub(super) conn: Conn,
    /// One `Notify` per stripe, so that threads do not contend on one waiter list.
    releases: Striped<Notify>,
    retired: AtomicBool,
}

impl Lane {
    pub(super) fn new(conn: Conn) -> Arc<Self> {
        Arc::new(Self { conn, releases: Striped::default(), retired: false.into() })
    }

    /// Nothing new is to be sent on it.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Ends when the answer that is waited for will not come.
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
pub(super) struct Lanes {
    current: ArcSwap<Vec<Arc<Lane>>>,
    turn: AtomicUsize,
}

impl Lanes {
    /// One of them, in turn.
    pub(super) fn pick(&self) -> Option<Arc<Lane>> {
        let lanes = self.current.load();
        match lanes.as_slice() {
            [] => None,
            [only] => Some(Arc::clone(only)),
            several => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                several.get(turn % several.len()).cloned()
            }
        }
    }

    pub(super) fn all(&self) -> Arc<Vec<Arc<Lane>>> {
        self.current.load_full()
    }

    /// These from now on. Calls under way on the others are answered there, except on those that are `dead`.
    pub(super) fn install(&self, lanes: Vec<Arc<Lane>>, dead: &[Arc<Lane>]) {
        let kept = Arc::new(lanes);
        let before = self.current.swap(Arc::clone(&kept));
        for lane in before.iter().filter(|lane| !kept.iter().any(|kept| Arc::ptr_eq(kept, lane))) {
            lane.retire();
        }
        for lane in dead {
            lane.release();
        }
    }

    /// Whoever waits for an answer stops waiting.
    pub(super) fn release(&self) {
        for lane in self.current.load().iter() {
            lane.release();
        }
    }

    /// No more of them, and nobody waits for an answer.
    pub(super) fn close(&self) {
        let before = self.all();
        self.install(Vec::new(), &before);
    }
}
