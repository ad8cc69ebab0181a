//! What a job is handed for one run.

use std::{fmt, fmt::Display, future::Future, sync::Arc};

use tokio::sync::watch;

use super::{
    items::{ItemCounts, Poisoned, one},
    lease::{Fence, Holding, Lost},
    stop::Stop,
};

/// One run of a job: its token, whether it is still the job's only run, and when it is to end.
/// Cheap to clone.
#[derive(Clone)]
pub struct Run(Arc<Inner>);

struct Inner {
    job: Arc<str>,
    fence: Fence,
    /// `None`: each instance runs the job.
    holding: Option<Arc<Holding>>,
    stop: Stop,
    /// The run was given up.
    aborted: watch::Receiver<bool>,
}

/// Why a run is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// Its lease is lost.
    Lost,
    /// The jobs are being shut down.
    Shutdown,
    /// Its time is over.
    TimedOut,
}

impl Run {
    pub(super) fn new(
        job: &Arc<str>,
        fence: Fence,
        holding: Option<Arc<Holding>>,
        stop: Stop,
        aborted: watch::Receiver<bool>,
    ) -> Self {
        Self(Arc::new(Inner { job: Arc::clone(job), fence, holding, stop, aborted }))
    }

    /// The job's name.
    pub fn job(&self) -> &str {
        &self.0.job
    }

    /// This run's token: higher than that of every earlier run of the job, on any instance.
    ///
    /// Write it with what the run writes, and have a lower one refused *there*, for a process may
    /// stand still between its last look at the lease and its write:
    ///
    /// ```sql
    /// UPDATE reports SET body = ?1, fence = ?2 WHERE id = ?3 AND fence <= ?2
    /// ```
    ///
    /// Without a [single runner](super::JobBuilder::with_single_runner) there are other runs at the
    /// same time, and the token orders the runs of this process alone.
    pub fn fence(&self) -> Fence {
        self.0.fence
    }

    /// Whether this is still the job's only run, as far as can be known here without asking
    /// anybody: one look at a clock. To be asked before each step that should not be done twice.
    /// Always `Ok` without a single runner.
    ///
    /// # Errors
    ///
    /// The lease is lost: Redis said so, or has not renewed it in time. It stays lost.
    pub fn still_mine(&self) -> Result<(), Lost> {
        if *self.0.aborted.borrow() && self.0.holding.is_some() {
            return Err(Lost);
        }
        self.0.holding.as_ref().map_or(Ok(()), |holding| holding.check())
    }

    /// Why the run is to end, if it is.
    pub fn is_cancelled(&self) -> Option<Cancelled> {
        if *self.0.aborted.borrow() {
            return Some(Cancelled::TimedOut);
        }
        if self.still_mine().is_err() {
            return Some(Cancelled::Lost);
        }
        self.0.stop.deadline().map(|_| Cancelled::Shutdown)
    }

    /// Returns when the run is to end: a run that loses its lease is told so and not aborted, since
    /// only the job knows where it can stop. One whose time is over, or that does not end within a
    /// shutdown's grace, is aborted. Cancel-safe.
    pub async fn cancelled(&self) -> Cancelled {
        let lost = async {
            match &self.0.holding {
                Some(holding) => holding.lost().await,
                None => std::future::pending().await,
            }
        };
        let mut aborted = self.0.aborted.clone();
        tokio::select! {
            biased;
            _ = aborted.wait_for(|aborted| *aborted) => Cancelled::TimedOut,
            () = lost => Cancelled::Lost,
            _ = self.0.stop.asked() => Cancelled::Shutdown,
        }
    }

    /// Does `work` with the items, one after the other. One that fails or panics is set aside and
    /// counted, and says so in one line of the log for all of them; the others are done. It stops
    /// before the next item when the run is to end.
    ///
    /// ```
    /// # async fn demo(run: evenkeel::jobs::Run) {
    /// let tally = run
    ///     .each([1, 2, 3], |id| async move {
    ///         if id == 2 { Err("no such event") } else { Ok(()) }
    ///     })
    ///     .await;
    /// assert_eq!((tally.done, tally.failed), (2, 1));
    /// # }
    /// ```
    pub async fn each<I, F, Fut, E>(&self, items: I, mut work: F) -> ItemCounts
    where
        I: IntoIterator,
        F: FnMut(I::Item) -> Fut,
        Fut: Future<Output = Result<(), E>>,
        E: Display,
    {
        let (mut tally, mut first) = (ItemCounts::default(), None);
        for item in items {
            if self.is_cancelled().is_some() {
                tally.interrupted = true;
                break;
            }
            match one(item, &mut work).await {
                Ok(()) => tally.done += 1,
                Err(poisoned) => {
                    tally.failed += 1;
                    first.get_or_insert(match poisoned {
                        Poisoned::Failed(error) => error,
                        Poisoned::Panicked => "it panicked".to_owned(),
                    });
                }
            }
        }
        if let Some(first) = first {
            let failed = tally.failed;
            tracing::warn!(job = self.job(), failed, %first, "items of the job were set aside");
        }
        tally
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("job", &self.0.job)
            .field("fence", &self.0.fence)
            .field("cancelled", &self.is_cancelled())
            .finish()
    }
}
