//! The recovery steps: what has to be done between "it answers again" and "it is available again".

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Error;

/// When a step runs. Stages run in this order, steps of one stage in the order of registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Did the store keep its data? Answers through [`Recovery::set_continuity`].
    Epoch,
    /// Revocations, logouts, cut-offs are pushed again.
    Guards,
    /// Locks, failed attempts and debts are merged or charged.
    Counters,
    /// Counters, presence and subscriptions are reconciled.
    Reconcile,
    /// Caches drop what the truth may have outlived.
    Caches,
}

/// What became of the store's data during the outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Continuity {
    /// All is there.
    Kept,
    /// Another server process with the data up to at least this moment; what was written later may
    /// be missing.
    KeptUntil(Instant),
    /// Data was lost or rolled back: everything that guards is to be pushed again.
    Lost,
}

impl Continuity {
    /// The worse of two: what both leave for certain.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn or_worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Lost, _) | (_, Self::Lost) => Self::Lost,
            (Self::KeptUntil(one), Self::KeptUntil(other)) => Self::KeptUntil(one.min(other)),
            (Self::KeptUntil(at), Self::Kept) | (Self::Kept, Self::KeptUntil(at)) => {
                Self::KeptUntil(at)
            }
            (Self::Kept, Self::Kept) => Self::Kept,
        }
    }
}

/// What a step is told.
#[derive(Debug, Clone)]
pub struct Recovery {
    first: bool,
    outage: Duration,
    continuity: Arc<OnceLock<Continuity>>,
    finished: Arc<AtomicBool>,
}

impl Recovery {
    pub(crate) fn new(first: bool, outage: Duration) -> Self {
        Self { first, outage, continuity: Arc::default(), finished: Arc::default() }
    }

    /// Every step is done.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    /// Every step was done: what this recovery was about is settled.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// The first connection since the start.
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// How long the dependency was away.
    pub fn outage(&self) -> Duration {
        self.outage
    }

    /// What became of the data. [`Continuity::Lost`] when no step of [`Stage::Epoch`] knows:
    /// pushing too much harms nothing.
    pub fn continuity(&self) -> Continuity {
        self.continuity.get().copied().unwrap_or(Continuity::Lost)
    }

    /// Says what became of the data; for a step of [`Stage::Epoch`]. The first to say so is
    /// believed.
    pub fn set_continuity(&self, continuity: Continuity) {
        let _ = self.continuity.set(continuity);
    }
}

type StepFuture = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

pub(crate) struct Step {
    pub(crate) stage: Stage,
    pub(crate) name: &'static str,
    run: Box<dyn Fn(Recovery) -> StepFuture + Send + Sync>,
}

impl Step {
    pub(crate) fn run(&self, recovery: Recovery) -> StepFuture {
        (self.run)(recovery)
    }
}

/// The registered steps, in their order.
#[derive(Default)]
pub(crate) struct Steps(Mutex<Vec<Arc<Step>>>);

impl Steps {
    pub(crate) fn add<F, Fut>(
        self: &Arc<Self>,
        stage: Stage,
        name: &'static str,
        step: F,
    ) -> Registration
    where
        F: Fn(Recovery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let step =
            Arc::new(Step { stage, name, run: Box::new(move |recovery| Box::pin(step(recovery))) });
        let mut steps = self.0.lock();
        let at = steps.partition_point(|other| other.stage <= stage);
        steps.insert(at, Arc::clone(&step));
        Registration { steps: Arc::downgrade(self), step }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Step>> {
        self.0.lock().clone()
    }
}

/// Keeps a recovery step registered for as long as it lives.
#[must_use = "the step is taken back when this is dropped"]
pub struct Registration {
    steps: Weak<Steps>,
    step: Arc<Step>,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("stage", &self.step.stage)
            .field("name", &self.step.name)
            .finish()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(steps) = self.steps.upgrade() {
            let mut steps = steps.0.lock();
            steps.retain(|step| !Arc::ptr_eq(step, &self.step));
        }
    }
}
