//! What a job can be told before it is started.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    active::Job, lease::Lease, registry::Registry, runner::Runner, settings::Settings,
    status::JobState, timer::Timer,
};
use crate::{Error, redis::Redis};

/// Builds a job; it runs from [`start`](Self::start) on.
#[must_use = "a job does not run before `start`"]
pub struct JobBuilder {
    redis: Redis,
    registry: Arc<Registry>,
    name: String,
    job: Job,
    settings: Settings,
}

impl JobBuilder {
    pub(super) fn new(
        redis: &Redis,
        registry: &Arc<Registry>,
        name: &str,
        job: Job,
        period: Duration,
    ) -> Self {
        Self {
            redis: redis.clone(),
            registry: Arc::clone(registry),
            name: name.to_owned(),
            job,
            settings: Settings::new(period),
        }
    }

    /// The share of the period, from 0 to 0.5, by which each run begins later at random at most: so
    /// that instances, or jobs of one period, do not begin together. Default 0.
    pub fn with_jitter(mut self, share: f64) -> Self {
        self.settings.jitter = share;
        self
    }

    /// How long a run may take. Then it is told, aborted at its next await, and counted as
    /// `timed_out`. Default: the period, and at least a minute.
    ///
    /// A run that blocks its thread cannot be aborted: until it has ended, ticks are skipped as
    /// `still-running`, and nothing else suffers.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.settings.set_timeout(timeout);
        self
    }

    /// Whether ticks are skipped while Redis is away, as `redis-away`. Default: they are. `false`
    /// is refused together with a [single runner](Self::with_single_runner).
    pub fn with_needs_redis(mut self, needs_redis: bool) -> Self {
        self.settings.needs_redis = needs_redis;
        self
    }

    /// Of the ticks that had no run, because Redis was away or (with a single runner) because no
    /// instance was there, so many are made up for at most: one run each, one after the other, as
    /// soon as it can be. Default 0: a missed tick is skipped. At most 1000.
    ///
    /// A tick that was skipped because the run before had not ended is never made up for.
    pub fn with_catch_up(mut self, runs: u32) -> Self {
        self.settings.catch_up = runs;
        self
    }

    /// Whether the job runs at once when Redis is back after an outage, whenever its next tick is.
    /// With a single runner one instance does so, unless the job has run since the outage began. A
    /// run that is under way at that moment is let end before.
    /// Default: it does not.
    pub fn with_on_recovery(mut self, on_recovery: bool) -> Self {
        self.settings.on_recovery = on_recovery;
        self
    }

    /// One instance runs the job at each tick, whichever asks first; the ticks are the whole
    /// periods since 1970 by the clock of Redis. Default: each instance runs it, from its start on.
    ///
    /// # When Redis is down
    ///
    /// Nobody begins a run. One that is under way goes on until a tenth before the end of its
    /// lease; then it is told by [`Run::still_mine`](super::Run::still_mine) and
    /// [`Run::cancelled`](super::Run::cancelled).
    pub fn with_single_runner(mut self, lease: Lease) -> Self {
        self.settings.lease = Some(lease);
        self
    }

    /// Starts the job. Its first run is at the next tick: one period from now, or with a single
    /// runner at the next whole period.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config): the name is not 1 to 64 letters, digits,
    /// `-` or `_`, or is taken; the period is not 10 ms to 366 days; another setting is out of the
    /// range that its method names; the jobs have been shut down. Never because Redis is away.
    pub fn start(self) -> Result<(), Error> {
        let Self { redis, registry, name, job, settings } = self;
        settings.check(&name)?;
        let timer = Timer::new(Instant::now(), settings.period, settings.jitter);
        let is_everywhere = settings.lease.is_none();
        let state = Arc::new(JobState::new(&name, settings.period, is_everywhere, timer.due()));
        let running = registry.add(Arc::clone(&state))?;
        let runner = Runner::new(&redis, job, settings, &state, &registry, timer);
        drop(redis.spawn(async move {
            runner.run().await;
            drop(running);
        }));
        Ok(())
    }
}

impl fmt::Debug for JobBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobBuilder")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
