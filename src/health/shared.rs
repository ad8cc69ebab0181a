//! What a monitor's handles share with its task.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::{
    sync::{Notify, broadcast, oneshot, watch},
    time::Instant,
};

use super::{
    Fault, Status, Transition,
    atomic_state::{AtomicState, StateWord},
    metrics::HealthMetrics,
    probe::DynProbe,
    recovery::Steps,
};

/// What handles tell the task.
pub(super) enum Message {
    /// A caller met a fault, begun at `since`, and has set this state word.
    Evidence { fault: Fault, word: StateWord, since: Instant },
    /// An operator took the dependency away, and the handle has set this state word.
    Force { until: Instant, word: StateWord },
    /// The operator gives it back.
    Release,
    /// The task is to end, and to say when it has.
    Shutdown(oneshot::Sender<()>),
}

/// The state of one monitor.
pub(super) struct Shared {
    pub(super) name: &'static str,
    pub(super) started: Instant,
    pub(super) probe: Arc<dyn DynProbe>,
    pub(super) state: AtomicState,
    pub(super) status: watch::Sender<Status>,
    pub(super) transitions: broadcast::Sender<Transition>,
    /// The task has ended: nothing changes any more, though there are handles still.
    pub(super) ended: watch::Sender<bool>,
    pub(super) steps: Arc<Steps>,
    /// A request has asked for a probe since the last one was sent.
    pub(super) probe_requested: AtomicBool,
    /// A write is to be tried.
    pub(super) write_suspected: AtomicBool,
    /// Wakes the task when one of the two turns true.
    pub(super) probe_request: Notify,
    /// Some feature has given an answer without the dependency.
    pub(super) fallbacks: AtomicBool,
    pub(super) metrics: HealthMetrics,
    /// A verdict that was confirmed longer ago than this is not believed.
    pub(super) stale_after: Duration,
}
