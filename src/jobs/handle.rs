//! The handle of an application's jobs.

use std::{
    fmt::{self, Display},
    future::Future,
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;

use super::{
    active::Job, builder::JobBuilder, outcome::Outcome, registry::Registry, run::Run, settings,
    status::JobStatus,
};
use crate::{Error, ErrorKind, redis::Redis};

/// The jobs of an application over one Redis. Cheap to clone; see the [module](super) for an
/// example.
///
/// Jobs run until [`shutdown`](Self::shutdown), or until the handle of Redis is shut down; dropping
/// this handle does not end them.
#[derive(Clone)]
pub struct Jobs {
    redis: Redis,
    registry: Arc<Registry>,
}

impl Jobs {
    /// The periods that a job can have: 10 ms to 366 days.
    pub const PERIODS: RangeInclusive<Duration> = settings::PERIODS;

    /// No jobs yet. Each job has a name of its own among those of one handle; two processes with a
    /// job of the same name and [single runner](JobBuilder::with_single_runner) share that job.
    pub fn new(redis: &Redis) -> Self {
        Self { redis: redis.clone(), registry: Arc::new(Registry::new()) }
    }

    /// A job that runs every `period`: by a monotonic clock, on a grid that does not drift, however
    /// long a run takes and whatever the wall clock does. One run at a time; a tick that comes
    /// while a run is under way is skipped, and nothing is made up for in a burst.
    ///
    /// `work` is called for each run. An error, a panic and a run that does not end are counted and
    /// said once in the log, and change nothing about the next tick.
    pub fn every<F, Fut, E>(&self, name: &str, period: Duration, work: F) -> JobBuilder
    where
        F: Fn(Run) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let work = Arc::new(work);
        let job: Job = Arc::new(move |run| {
            let work = Arc::clone(&work);
            // Called in the task of the run: it may panic before there is a future. Its error
            // becomes text there, too.
            async move { work(run).await.map_err(|error| error.to_string()) }.boxed()
        });
        JobBuilder::new(&self.redis, &self.registry, name, job, period)
    }

    /// What is known of each job on this instance, in the order of their start. Never waits.
    pub fn status(&self) -> Vec<JobStatus> {
        self.registry.all().iter().map(|state| state.status()).collect()
    }

    /// Whether the last run of each job succeeded: a check for the health page, with
    /// [`status`](Self::status) as its details. A skipped tick is no failure.
    ///
    /// ```no_run
    /// # use evenkeel::{health_router::HealthRouter, jobs::Jobs};
    /// # fn demo(health: HealthRouter, jobs: Jobs) -> HealthRouter {
    /// let (checked, shown) = (jobs.clone(), jobs);
    /// health
    ///     .optional("jobs", move || std::future::ready(checked.check()))
    ///     .with_check_details("jobs", move || shown.status())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Names the jobs whose last run failed, panicked or did not end in time.
    pub fn check(&self) -> Result<(), Error> {
        let bad: Vec<String> = self
            .status()
            .into_iter()
            .filter_map(|job| {
                let last = job.last.filter(|last| last.outcome != Outcome::Ran)?;
                Some(format!("{} ({})", job.name, last.outcome))
            })
            .collect();
        if bad.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Command,
            format!("jobs whose last run failed: {}", bad.join(", ")),
        ))
    }

    /// Ends the jobs: no run begins any more, those under way are told
    /// ([`Run::cancelled`](super::Run::cancelled)), and aborted after `grace`; leases are given
    /// back. `true`: all have ended by themselves. To be called before the shutdown of the Redis
    /// handle, which leases are given back through.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        self.registry.shut_down(grace).await
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("jobs", &self.status()).finish_non_exhaustive()
    }
}
