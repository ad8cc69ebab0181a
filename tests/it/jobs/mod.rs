//! Jobs with a real Redis, the wire in front of it, and several instances.

mod faults;
mod gateway;
mod holder;
mod late_writes;
mod runners;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use evenkeel::{
    jobs::{JobBuilder, JobStatus, Jobs, Lease, Run},
    redis::Redis,
    telemetry::Metrics,
};
use tokio::time::sleep;

use crate::{
    guards::{PATIENCE, available, metric, quick},
    support::{self, eventually},
};

/// So many in CI; `EVENKEEL_TEST_ROUNDS` asks for more.
pub(crate) fn rounds(in_ci: usize) -> usize {
    let asked = std::env::var("EVENKEEL_TEST_ROUNDS").ok();
    asked.map_or(in_ci, |rounds| rounds.parse().expect("a number"))
}

const LEASE: Lease = Lease::of(Duration::from_millis(600));

/// One run of the job, on whichever instance.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    by: &'static str,
    fence: u64,
    began: Instant,
    ended: Option<Instant>,
}

/// What ran when: shared by all instances of a test.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<Vec<Ran>>>);

impl History {
    pub(crate) fn all(&self) -> Vec<Ran> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn of(&self, by: &str) -> usize {
        self.all().iter().filter(|ran| ran.by == by).count()
    }

    fn begin(&self, by: &'static str, run: &Run) -> usize {
        let mut all = self.0.lock().unwrap();
        let fence = run.fence().get();
        all.push(Ran { by, fence, began: Instant::now(), ended: None });
        all.len() - 1
    }

    fn end(&self, at: usize) {
        self.0.lock().unwrap()[at].ended = Some(Instant::now());
    }

    /// Waits until there are so many.
    async fn reaches(&self, runs: usize) {
        let reached = eventually(PATIENCE, || async { self.len() >= runs }).await;
        assert!(reached, "{runs} runs, not {:?}", self.all());
    }

    /// Tokens grow in the order in which runs begin, and no two runs overlap.
    fn assert_one_at_a_time(&self) {
        let all = self.all();
        for pair in all.windows(2) {
            assert!(pair[0].fence < pair[1].fence, "{all:#?}");
            assert!(pair[0].ended.is_some_and(|ended| ended <= pair[1].began), "{all:#?}");
        }
    }
}

pub(crate) struct Instance {
    pub(crate) redis: Redis,
    pub(crate) jobs: Jobs,
    pub(crate) metrics: Metrics,
    name: &'static str,
    history: History,
}

impl Instance {
    pub(crate) fn at(url: &str, name: &'static str, history: &History) -> Self {
        let metrics = Metrics::prometheus("test", name);
        let redis = Redis::new(quick(url, &metrics)).unwrap();
        let jobs = Jobs::new(&redis);
        Self { redis, jobs, metrics, name, history: history.clone() }
    }

    /// The same instance with jobs of its own, as after a restart.
    fn with_other_jobs(&self) -> Self {
        let (redis, jobs) = (self.redis.clone(), Jobs::new(&self.redis));
        let (metrics, history) = (self.metrics.clone(), self.history.clone());
        Self { redis, jobs, metrics, name: self.name, history }
    }

    pub(crate) async fn ready(self) -> Self {
        available(&self.redis).await;
        self
    }

    /// A job that notes its runs, each of which takes `takes`, or less when it is to end.
    pub(crate) fn job(&self, period: Duration, takes: Duration) -> JobBuilder {
        self.job_named("job", period, takes)
    }

    fn job_named(&self, job: &str, period: Duration, takes: Duration) -> JobBuilder {
        let (history, name) = (self.history.clone(), self.name);
        self.jobs.every(job, period, move |run: Run| {
            let history = history.clone();
            async move {
                let at = history.begin(name, &run);
                tokio::select! {
                    _ = run.cancelled() => {}
                    () = sleep(takes) => {}
                }
                history.end(at);
                Ok::<(), String>(())
            }
        })
    }

    pub(crate) fn status(&self) -> JobStatus {
        self.jobs.status().remove(0)
    }

    pub(crate) fn runs(&self, outcome: &str) -> u64 {
        metric(&self.metrics, &["job_runs_total{", &format!("outcome=\"{outcome}\"")])
    }
}
