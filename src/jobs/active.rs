//! A run that is under way: in a task of its own, so that a panic ends nothing else.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle},
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    keeper::LeaseGuard, lease::Fence, metrics::Record, outcome::Outcome, run::Run, stop::Stop,
};

/// How long an aborted run is waited for at a shutdown.
const ABORT: Duration = Duration::from_millis(250);

/// The application's part.
pub(super) type Job = Arc<dyn Fn(Run) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

pub(super) struct Active {
    task: JoinHandle<Result<(), String>>,
    began: Instant,
    deadline: Instant,
    /// It was given up, and recorded as such.
    is_given_up: bool,
    aborted: watch::Sender<bool>,
    pub(super) held: Option<LeaseGuard>,
}

/// What happens to a run.
pub(super) enum Event {
    /// Its time is over; it has been aborted, and may go on until its next await.
    TimedOut(Duration),
    /// It has ended.
    Ended(End),
}

/// How a run ended. `None`: it had been given up before.
pub(super) type End = Option<(Outcome, Duration, Option<String>)>;

impl Active {
    /// Begins a run. Inside a tokio runtime.
    pub(super) fn begin(
        job: &Job,
        name: &Arc<str>,
        fence: Fence,
        held: Option<LeaseGuard>,
        stop: Stop,
        timeout: Duration,
    ) -> Self {
        let aborted = watch::Sender::new(false);
        let holding = held.as_ref().map(|held| Arc::clone(&held.holding));
        let run = Run::new(name, fence, holding, stop, aborted.subscribe());
        let work = job(run);
        let began = Instant::now();
        let deadline = began + timeout;
        Self { task: tokio::spawn(work), began, deadline, is_given_up: false, aborted, held }
    }

    /// Waits for what happens next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Event {
        tokio::select! {
            biased;
            ended = &mut self.task => Event::Ended(self.ended(ended)),
            () = sleep_until(self.deadline), if !self.is_given_up => {
                self.give_up();
                Event::TimedOut(self.began.elapsed())
            }
        }
    }

    /// Tells the run that it is over, and aborts it at its next await. It is waited for all the
    /// same: until it has ended no other run begins here.
    pub(super) fn give_up(&mut self) {
        self.is_given_up = true;
        self.aborted.send_replace(true);
        self.task.abort();
        if let Some(held) = &self.held {
            held.give_up();
        }
    }

    /// Waits until it has ended; at the deadline it is aborted, and counted. Returns whether it
    /// was, and how it ended, if it did.
    pub(super) async fn wind_down(
        &mut self,
        deadline: Instant,
        record: &mut Record,
    ) -> (bool, Option<End>) {
        let in_time = async {
            loop {
                match self.next().await {
                    Event::Ended(ended) => break ended,
                    Event::TimedOut(took) => record.run(Outcome::TimedOut, took, None),
                }
            }
        };
        if let Ok(ended) = timeout_at(deadline, in_time).await {
            return (false, Some(ended));
        }
        let took = self.took();
        self.give_up();
        record.run(Outcome::TimedOut, took, None);
        let has_ended = timeout_at(Instant::now() + ABORT, self.next()).await.is_ok();
        (true, has_ended.then_some(None))
    }

    /// How long it has been under way.
    fn took(&self) -> Duration {
        self.began.elapsed()
    }

    fn ended(&self, ended: Result<Result<(), String>, JoinError>) -> End {
        let (outcome, why) = match ended {
            Ok(Ok(())) => (Outcome::Ran, None),
            Ok(Err(error)) => (Outcome::Failed, Some(error)),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => (Outcome::Panicked, Some(message(panic))),
                // Aborted from outside: the runtime is shutting down.
                Err(_) => (Outcome::Failed, None),
            },
        };
        (!self.is_given_up).then(|| (outcome, self.took(), why))
    }
}

/// What the panic said. Its payload is somebody else's, and may panic when it is dropped.
fn message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    let _ = catch_unwind(AssertUnwindSafe(|| drop(panic)));
    text
}
