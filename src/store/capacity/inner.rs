//! The handle's side of a gate: asks it, tells it what the truth has said, and sees to it that one
//! that has missed something is given up.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::task::AbortHandle;

use super::{
    backlog::Touched,
    gates::{Take, Tell},
    law::{Outcome, Seen, Settlement, settle},
    shared::Shared,
    verdict::CapacityVerdict,
};
use crate::{Source, store::replay::Replay};

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) replay: Replay<Touched>,
    pub(super) follower: AbortHandle,
    pub(super) name: String,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// The gate's answer, or that there was none to ask.
pub(super) struct Entered {
    pub(super) seen: Seen,
    pub(super) source: Source,
    at: u64,
}

impl Inner {
    /// Asks the gate.
    pub(super) async fn enter(
        &self,
        event: &str,
        seats: u32,
    ) -> (Entered, Option<CapacityVerdict>) {
        let shared = &*self.shared;
        let (gates, since) = (&shared.touched.gates, shared.touched.since());
        let mut connection = shared.redis.connection();
        match shared.switch.redis(gates.take(&mut connection, event, since, seats)).await {
            Ok(Take { seen, left, capacity, at, is_strange }) => {
                if is_strange {
                    shared.metrics.replaced.add(1);
                }
                let refusal = (seen == Seen::Full).then(|| match u64::from(seats) > capacity {
                    true => CapacityVerdict::TooMany { capacity },
                    false => CapacityVerdict::Full { left },
                });
                (Entered { seen, source: Source::Redis, at }, refusal)
            }
            Err(error) => {
                shared.switch.log(&error);
                shared.switch.record_fallback();
                let source = Source::Database;
                (Entered { seen: Seen::NotAsked, source, at: 0 }, None)
            }
        }
    }

    /// Tells the gate what the truth has said.
    pub(super) async fn tell(&self, event: &str, seats: u32, entered: &Entered, outcome: Outcome) {
        let shared = &*self.shared;
        let tell = match settle(entered.seen, outcome) {
            Settlement::Nothing => return,
            Settlement::GiveBack => Tell::Back,
            Settlement::Seed(truth) => Tell::Seed(truth),
            Settlement::Set(truth) => Tell::Set(truth),
            // Noted when the truth was asked.
            Settlement::Forget => return,
        };
        let (gates, since) = (&shared.touched.gates, shared.touched.since());
        let mut connection = shared.redis.connection();
        let told = gates.settle(&mut connection, event, since, entered.at, seats, tell);
        if let Err(error) = shared.switch.redis(told).await {
            shared.switch.log(&error);
            self.give_up(event);
        }
    }

    /// The gate has missed something.
    fn give_up(&self, event: &str) {
        self.shared.touched.note(event);
        self.replay.arm();
    }

    pub(super) async fn tell_release(&self, event: &str, seats: u32, pending: &Pending<'_>) {
        let shared = &*self.shared;
        let (gates, since) = (&shared.touched.gates, shared.touched.since());
        let mut connection = shared.redis.connection();
        let told = gates.release(&mut connection, event, since, Some(seats));
        match shared.switch.redis(told).await {
            Ok(()) => pending.settle(),
            Err(error) => shared.switch.log(&error),
        }
    }
}

/// The gate may miss something: it is given up, unless this is settled before it is dropped.
pub(super) struct Pending<'a> {
    inner: &'a Inner,
    event: &'a str,
    is_settled: AtomicBool,
}

impl<'a> Pending<'a> {
    pub(super) fn new(inner: &'a Inner, event: &'a str) -> Self {
        Self { inner, event, is_settled: AtomicBool::new(false) }
    }

    pub(super) fn settle(&self) {
        self.is_settled.store(true, Ordering::Relaxed);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !*self.is_settled.get_mut() {
            self.inner.give_up(self.event);
        }
    }
}
