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

/// What the task is told.
pub(super) enum Message {
    /// A caller met a fault and has set this word.
    Evidence {
        fault: Fault,
        word: StateWord,
        since: Instant,
    },
    Force {
        until: Instant,
        word: StateWord,
    },
    Release,
    Shutdown(oneshot::Sender<()>),
}

/// What the handle and the task share.
pub(super) struct Shared {
    pub(super) name: &'static str,
    pub(super) started: Instant,
    pub(super) probe: Arc<dyn DynProbe>,
    pub(super) state: AtomicState,
    pub(super) status: watch::Sender<Status>,
    pub(super) transitions: broadcast::Sender<Transition>,
    pub(super) steps: Arc<Steps>,
    pub(super) probe_requested: AtomicBool,
    pub(super) probe_request: Notify,
    /// Answers were given without, by some feature.
    pub(super) fallbacks: AtomicBool,
    pub(super) metrics: HealthMetrics,
    /// A verdict older than this is no verdict.
    pub(super) stale_after: Duration,
}
