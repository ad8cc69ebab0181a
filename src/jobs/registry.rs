//! All jobs of one handle, and their end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{status::JobState, stop::Stop};
use crate::Error;

/// How much longer than the grace a shutdown takes at most: for what is to be given back.
const AFTERWARDS: Duration = Duration::from_secs(2);

pub(super) struct Registry {
    jobs: Mutex<Vec<Arc<JobState>>>,
    stop: watch::Sender<Option<Instant>>,
    /// Each runner has a receiver.
    running: watch::Sender<()>,
    /// Runs that a shutdown has aborted.
    pub(super) aborted: AtomicU32,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            jobs: Mutex::default(),
            stop: watch::Sender::new(None),
            running: watch::Sender::new(()),
            aborted: AtomicU32::new(0),
        }
    }

    pub(super) fn stop(&self) -> Stop {
        Stop::new(&self.stop)
    }

    /// Adds a job, whose runner lives for as long as the result does.
    pub(super) fn add(&self, job: Arc<JobState>) -> Result<watch::Receiver<()>, Error> {
        let mut jobs = self.jobs.lock();
        if jobs.iter().any(|other| other.name() == job.name()) {
            let name = job.name();
            return Err(Error::config(format!("there is a job {name:?} already")));
        }
        if self.stop.borrow().is_some() {
            return Err(Error::config("the jobs have been shut down"));
        }
        jobs.push(job);
        Ok(self.running.subscribe())
    }

    pub(super) fn all(&self) -> Vec<Arc<JobState>> {
        self.jobs.lock().clone()
    }

    /// Has all jobs end by then; `true` if no run had to be aborted.
    pub(super) async fn shut_down(&self, grace: Duration) -> bool {
        let deadline = Instant::now() + grace;
        {
            // Under the lock under which jobs are added: none is added after this.
            let _jobs = self.jobs.lock();
            self.stop.send_if_modified(|stop| {
                let is_sooner = stop.is_none_or(|other| deadline < other);
                if is_sooner {
                    *stop = Some(deadline);
                }
                is_sooner
            });
        }
        let ended = timeout(grace + AFTERWARDS, self.running.closed()).await.is_ok();
        ended && self.aborted.load(Ordering::Relaxed) == 0
    }
}
