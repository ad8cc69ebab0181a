//! A check of another dependency: run when somebody asks, one run at a time, its result shared and
//! kept for a while.

use std::{borrow::Cow, fmt, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, timeout},
};

/// What holds for every check of a router.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    pub(super) ttl: Duration,
}

impl Limits {
    pub(super) const DEFAULT: Self =
        Self { timeout: Duration::from_secs(1), ttl: Duration::from_secs(1) };
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Up,
    Failed,
    TimedOut,
    Panicked,
}

impl Verdict {
    /// What the client reads; the check's own words stay in the log.
    pub(super) const fn message(self) -> Option<&'static str> {
        match self {
            Self::Up => None,
            Self::Failed => Some("The check failed"),
            Self::TimedOut => Some("The check took too long"),
            Self::Panicked => Some("The check panicked"),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) took: Duration,
    pub(super) at: Instant,
}

type Run = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;
type Running = watch::Receiver<Option<Outcome>>;

pub(super) struct Check {
    name: Cow<'static, str>,
    critical: bool,
    run: Run,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    last: Option<Outcome>,
    running: Option<Running>,
}

/// What somebody who asks gets: an outcome, or a run to wait for.
enum Lookup {
    Known(Outcome),
    Running(Running),
}

impl Check {
    pub(super) fn new<F, Fut, E>(name: Cow<'static, str>, critical: bool, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let run: Run = Box::new(move || {
            let run = check();
            async move { run.await.map_err(|error| error.to_string()) }.boxed()
        });
        Self { name, critical, run, slot: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_critical(&self) -> bool {
        self.critical
    }

    /// The outcome: the last one while it is fresh, else that of the run in flight or of a new one.
    pub(super) async fn outcome(self: Arc<Self>, limits: Limits) -> Outcome {
        let mut running = match self.look_up(limits) {
            Lookup::Known(outcome) => return outcome,
            Lookup::Running(running) => running,
        };
        let ended = running.wait_for(Option::is_some).await;
        // The run was dropped without an end: the runtime is shutting down.
        ended.ok().and_then(|outcome| *outcome).unwrap_or_else(|| Outcome {
            verdict: Verdict::Failed,
            took: Duration::ZERO,
            at: Instant::now(),
        })
    }

    fn look_up(self: &Arc<Self>, limits: Limits) -> Lookup {
        let mut slot = self.slot.lock();
        let age = slot.last.map(|last| last.at.elapsed());
        let last_within = |limit| slot.last.filter(|_| age.is_some_and(|age| age < limit));
        if let Some(last) = last_within(limits.ttl) {
            return Lookup::Known(last);
        }
        if let Some(running) = slot.running.as_ref().filter(|running| running.has_changed().is_ok())
        {
            return match last_within(limits.ttl + limits.timeout) {
                Some(last) => Lookup::Known(last),
                None => Lookup::Running(running.clone()),
            };
        }
        let (sender, running) = watch::channel(None);
        // On a task of its own: whoever asked may go away, and the others still wait for the
        // answer.
        if let Ok(runtime) = Handle::try_current() {
            let check = Arc::clone(self);
            drop(runtime.spawn(async move {
                let outcome = check.run_once(limits.timeout).await;
                sender.send_replace(Some(outcome));
            }));
        }
        slot.running = Some(running.clone());
        Lookup::Running(running)
    }

    async fn run_once(&self, limit: Duration) -> Outcome {
        let began = Instant::now();
        let run = AssertUnwindSafe(async { (self.run)().await }).catch_unwind();
        let (verdict, error) = match timeout(limit, run).await {
            Ok(Ok(Ok(()))) => (Verdict::Up, None),
            Ok(Ok(Err(error))) => (Verdict::Failed, Some(error)),
            Ok(Err(_panic)) => (Verdict::Panicked, None),
            Err(_elapsed) => (Verdict::TimedOut, None),
        };
        let at = Instant::now();
        let outcome = Outcome { verdict, took: at - began, at };
        let before = {
            let mut slot = self.slot.lock();
            slot.running = None;
            slot.last.replace(outcome).map_or(Verdict::Up, |last| last.verdict)
        };
        self.log(before, verdict, error.as_deref());
        outcome
    }

    /// One line for a change, none for a run.
    fn log(&self, before: Verdict, now: Verdict, error: Option<&str>) {
        if now == before {
            return;
        }
        let check = &*self.name;
        match now.message() {
            None => tracing::info!(check, "the health check succeeds again"),
            Some(reason) => {
                tracing::warn!(check, reason, error, "the health check does not succeed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn counting(
        takes: Duration,
        answer: impl Fn() -> Result<(), &'static str> + Copy + Send + Sync + 'static,
    ) -> (Arc<Check>, Arc<AtomicU32>) {
        let runs = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&runs);
        let check = Check::new("database".into(), true, move || {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(takes).await;
                answer()
            }
        });
        (Arc::new(check), runs)
    }

    const LIMITS: Limits = Limits::DEFAULT;

    #[tokio::test(start_paused = true)]
    async fn a_storm_causes_one_run_per_period() {
        let (check, runs) = counting(Duration::from_millis(100), || Ok(()));
        let storm = || async {
            let asked = (0..1_000).map(|_| Arc::clone(&check).outcome(LIMITS));
            futures_util::future::join_all(asked).await
        };
        for outcome in storm().await {
            assert_eq!(outcome.verdict, Verdict::Up);
            assert_eq!(outcome.took, Duration::from_millis(100));
        }
        storm().await;
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        tokio::time::sleep(LIMITS.ttl).await;
        storm().await;
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn while_one_asks_anew_the_others_get_the_last_result_unless_it_is_old() {
        let (check, runs) = counting(Duration::from_millis(500), || Ok(()));
        let first = Arc::clone(&check).outcome(LIMITS).await;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let asks = tokio::spawn(Arc::clone(&check).outcome(LIMITS));
        tokio::task::yield_now().await;
        let began = Instant::now();
        assert_eq!(Arc::clone(&check).outcome(LIMITS).await.at, first.at);
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(asks.await.unwrap().at > first.at);

        tokio::time::sleep(Duration::from_secs(60)).await;
        let both =
            tokio::join!(Arc::clone(&check).outcome(LIMITS), Arc::clone(&check).outcome(LIMITS));
        assert_eq!(both.0.at, Instant::now());
        assert_eq!(both.1.at, Instant::now());
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_fails_or_panics_is_down() {
        let (check, _) = counting(Duration::from_secs(3600), || Ok(()));
        let began = Instant::now();
        assert_eq!(check.outcome(LIMITS).await.verdict, Verdict::TimedOut);
        assert_eq!(began.elapsed(), LIMITS.timeout);
        let (check, _) = counting(Duration::ZERO, || Err("no"));
        assert_eq!(check.outcome(LIMITS).await.verdict, Verdict::Failed);
        let (check, _) = counting(Duration::ZERO, || panic!("on purpose"));
        assert_eq!(check.outcome(LIMITS).await.verdict, Verdict::Panicked);
        let early =
            Check::new("early".into(), true, || -> std::future::Ready<Result<(), String>> {
                panic!("before there is a future")
            });
        assert_eq!(Arc::new(early).outcome(LIMITS).await.verdict, Verdict::Panicked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_prober_that_goes_away_leaves_the_run_to_the_others() {
        let (check, runs) = counting(Duration::from_millis(500), || Ok(()));
        let gone = tokio::spawn(Arc::clone(&check).outcome(LIMITS));
        tokio::task::yield_now().await;
        let stays = tokio::spawn(Arc::clone(&check).outcome(LIMITS));
        tokio::task::yield_now().await;
        gone.abort();
        assert_eq!(stays.await.unwrap().verdict, Verdict::Up);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }
}
