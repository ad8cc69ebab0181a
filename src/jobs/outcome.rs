//! What became of a tick of a job.

use std::fmt;

use serde::Serialize;

/// What became of one run, or of a tick that had none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "&'static str")]
#[non_exhaustive]
pub enum Outcome {
    /// It ran to its end and returned `Ok`.
    Ran,
    /// It did not run.
    Skipped(SkipReason),
    /// It returned an error.
    Failed,
    /// It panicked.
    Panicked,
    /// It did not end in time, and was aborted.
    TimedOut,
}

/// Why a job did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SkipReason {
    /// It needs Redis, which is away or does not answer.
    RedisAway,
    /// Another instance has this tick, or still runs an earlier one; or no instance was there at
    /// that time.
    NotMine,
    /// The run before has not ended.
    StillRunning,
}

impl SkipReason {
    /// `redis-away`, `not-mine`, `still-running`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RedisAway => "redis-away",
            Self::NotMine => "not-mine",
            Self::StillRunning => "still-running",
        }
    }
}

impl Outcome {
    /// Those that `job_runs_total` tells apart.
    pub(super) const LABELS: [&'static str; 5] =
        ["ran", "skipped", "failed", "panicked", "timed_out"];

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Ran => 0,
            Self::Skipped(_) => 1,
            Self::Failed => 2,
            Self::Panicked => 3,
            Self::TimedOut => 4,
        }
    }

    /// `ran`, `skipped`, `failed`, `panicked`, `timed_out`.
    pub const fn as_str(self) -> &'static str {
        Self::LABELS[self.index()]
    }
}

impl From<Outcome> for &'static str {
    fn from(outcome: Outcome) -> Self {
        outcome.as_str()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
