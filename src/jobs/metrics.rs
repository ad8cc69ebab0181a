//! What is counted of a job, and what is said of it in the log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use super::{
    outcome::{Outcome, SkipReason},
    status::JobState,
};
use crate::telemetry::{Counter, Metrics, names};

/// Where one job's outcomes go: its status, the metrics, the log.
pub(super) struct Record {
    state: Arc<JobState>,
    runs: [Counter; Outcome::LABELS.len()],
    /// Seconds since 1970; 0 for never.
    last_success: Arc<AtomicU64>,
    /// What the log was told last.
    logged: Option<Outcome>,
}

impl Record {
    pub(super) fn new(metrics: &Metrics, state: &Arc<JobState>) -> Self {
        let name = &**state.name();
        let counter =
            |outcome| metrics.counter(names::JOB_RUNS, &[("job", name), ("outcome", outcome)]);
        let last_success = Arc::<AtomicU64>::default();
        let read = Arc::downgrade(&last_success);
        metrics.gauge(names::JOB_LAST_SUCCESS, &[("job", name)], move || {
            let seconds = read.upgrade()?.load(Ordering::Relaxed);
            Some(seconds as f64)
        });
        Self {
            state: Arc::clone(state),
            runs: Outcome::LABELS.map(counter),
            last_success,
            logged: None,
        }
    }

    /// A run has ended.
    pub(super) fn run(&mut self, outcome: Outcome, took: Duration, why: Option<&str>) {
        self.state.set_last(outcome, took);
        self.count(outcome, 1);
        if outcome == Outcome::Ran {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            self.last_success.store(now.unwrap_or_default().as_secs(), Ordering::Relaxed);
        }
        self.log(outcome, why);
    }

    /// A tick had no run.
    pub(super) fn skip(&mut self, reason: SkipReason, why: Option<&str>) {
        self.state.set_skip(reason);
        self.count(Outcome::Skipped(reason), 1);
        self.log(Outcome::Skipped(reason), why);
    }

    /// So many ticks passed of which no instance knew.
    pub(super) fn skip_missed(&mut self, ticks: u64) {
        if ticks == 0 {
            return;
        }
        self.state.set_skip(SkipReason::NotMine);
        self.count(Outcome::Skipped(SkipReason::NotMine), ticks);
        tracing::debug!(job = &**self.state.name(), ticks, "no instance was there for these ticks");
    }

    /// Something in Redis was not ours.
    pub(super) fn replaced(&self, values: u64) {
        if values > 0 {
            self.state.add_replaced(values);
            let job = &**self.state.name();
            tracing::warn!(job, values, "what stood in Redis for the job was not ours: replaced");
        }
    }

    fn count(&self, outcome: Outcome, more: u64) {
        self.runs[outcome.index()].add(more);
    }

    /// One line for a change. That another instance runs the job is as good as running it.
    fn log(&mut self, outcome: Outcome, why: Option<&str>) {
        let good =
            |outcome| matches!(outcome, Outcome::Ran | Outcome::Skipped(SkipReason::NotMine));
        let before = self.logged.replace(outcome);
        let (was_good, is_good) = (before.is_none_or(good), good(outcome));
        if before == Some(outcome) || (was_good && is_good) {
            return;
        }
        let job = &**self.state.name();
        match outcome {
            Outcome::Ran => tracing::info!(job, "the job runs again"),
            Outcome::Skipped(SkipReason::NotMine) => {
                tracing::info!(job, "the job runs again, on another instance");
            }
            Outcome::Skipped(SkipReason::RedisAway) => {
                tracing::warn!(job, why, "the job is skipped until Redis is back");
            }
            Outcome::Skipped(SkipReason::StillRunning) => {
                tracing::warn!(job, "the job is skipped: its last run has not ended");
            }
            Outcome::Failed => tracing::warn!(job, why, "the job failed"),
            Outcome::Panicked => tracing::error!(job, why, "the job panicked"),
            Outcome::TimedOut => tracing::error!(job, "the job did not end in time: aborted"),
        }
    }
}
