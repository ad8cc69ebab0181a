//! The one place where Redis is told what it missed.
//!
//! A store keeps what Redis has not been told in a [`Backlog`] of its own and hands that to a
//! [`Replay`]. The replay pushes it in two situations: as a recovery step after an outage, before
//! Redis is announced as available, and from a task of its own for what was never an outage (one
//! answer that was lost, a client that went away, a refused write). What guards is pushed again
//! after evictions, too.
//!
//! ```text
//! store ── writes ──► Backlog ◄── due, push ── pass ◄── recovery step (each recovery)
//!   └──── arm ──► Armed ── starts ──► task ────┘
//! ```

mod armed;
mod backlog;
mod pace;
mod paging;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::{Mutex, watch},
    task::AbortHandle,
    time::{Instant, sleep},
};

use self::{armed::Armed, pace::Pace};
pub(crate) use self::{
    backlog::{Backlog, Pushed},
    paging::Paging,
};
use crate::{
    Error,
    health::{Continuity, Recovery, Registration},
    redis::{Connection, Need, Redis},
    telemetry::Replayed,
};

/// The pause after a pass that left something; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Between gentle passes at least, in probe intervals.
const INTERVALS_BETWEEN: u32 = 4;

/// Pushes a [`Backlog`] to Redis: in every recovery, and while anything is pending. Belongs to the
/// store's handle; the backlog is held weakly, so the last handle ends it.
pub(crate) struct Replay<B> {
    core: Arc<Core<B>>,
    _step: Option<Registration>,
    _need: Need,
    evictions: Option<AbortHandle>,
}

impl<B> Drop for Replay<B> {
    fn drop(&mut self) {
        if let Some(task) = &self.evictions {
            task.abort();
        }
    }
}

struct Core<B> {
    redis: Redis,
    backlog: Weak<B>,
    armed: Armed,
    /// One pass at a time.
    pass: Mutex<()>,
    replayed: Replayed,
    /// The log says already that Redis refuses something.
    warned: AtomicBool,
}

impl<B: Backlog> Replay<B> {
    /// Registers the recovery step, if there is to be one.
    pub(crate) fn new(redis: &Redis, backlog: Weak<B>) -> Self {
        let core = Arc::new(Core {
            redis: redis.clone(),
            backlog,
            armed: Armed::new(),
            pass: Mutex::default(),
            replayed: B::FEATURE.replayed(redis.metrics()),
            warned: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&core);
        let step = B::STAGE.map(|stage| {
            redis.on_recovery(stage, B::NAME, move |connection, recovery| {
                let core = weak.upgrade();
                async move {
                    match core {
                        Some(core) => core.recover(connection, recovery).await,
                        None => Ok(()),
                    }
                }
            })
        });
        let evictions = B::GUARDS.then(|| {
            let weak = Arc::downgrade(&core);
            redis.spawn(push_after_evictions(weak, redis.evictions(), redis.probe_interval()))
        });
        Self { core, _step: step, _need: redis.need_rights(B::FEATURE), evictions }
    }

    /// Something is pending: Redis is told as soon as it serves. To be called after the backlog was
    /// written. Never waits; one load where it is known already.
    #[inline]
    pub(crate) fn arm(&self) {
        self.core.arm();
    }

    /// For a push that the caller attempts itself: to be made *before* its await, after the backlog
    /// was written. Dropped without [`settled`](Guard::settled) it arms, so that a client that goes
    /// away in the middle of a request loses nothing.
    pub(crate) fn guard(&self) -> Guard<'_, B> {
        Guard { core: Some(&self.core) }
    }
}

/// See [`Replay::guard`].
#[must_use = "it arms when it is dropped"]
pub(crate) struct Guard<'a, B: Backlog> {
    core: Option<&'a Arc<Core<B>>>,
}

impl<B: Backlog> Guard<'_, B> {
    /// Redis was told.
    pub(crate) fn settled(mut self) {
        self.core = None;
    }
}

impl<B: Backlog> Drop for Guard<'_, B> {
    fn drop(&mut self) {
        if let Some(core) = self.core {
            core.arm();
        }
    }
}

impl<B: Backlog> Core<B> {
    #[inline]
    fn arm(self: &Arc<Self>) {
        if self.armed.arm() {
            self.start();
        }
    }

    #[cold]
    fn start(self: &Arc<Self>) {
        let task = Task(Arc::downgrade(self));
        drop(self.redis.spawn(task.run()));
    }

    async fn recover(
        self: &Arc<Self>,
        mut connection: Connection,
        recovery: Recovery,
    ) -> Result<(), Error> {
        let Some(backlog) = self.backlog.upgrade() else { return Ok(()) };
        backlog.mark_lost(recovery.continuity());
        backlog.before(&mut connection, &recovery).await?;
        self.pass(&*backlog, &connection, Pace::Recovery).await?;
        backlog.after(&mut connection, &recovery).await
    }

    /// Pushes what is pending. Whether all of it was; what was not is armed for, wherever this
    /// ends.
    async fn pass(
        self: &Arc<Self>,
        backlog: &B,
        connection: &Connection,
        pace: Pace,
    ) -> Result<bool, Error> {
        let _alone = self.pass.lock().await;
        let limit = B::PASS_LIMIT.filter(|_| pace == Pace::Recovery);
        let until = limit.map(|limit| Instant::now() + limit);
        self.armed.begin_pass();
        let unless_complete = Guard { core: Some(self) };
        let (mut cursor, mut refused, mut failed) = (0, None, 0_u64);
        while let Some(page) = backlog.due(&mut cursor) {
            let mut items = page.into_iter().peekable();
            while items.peek().is_some() {
                let began = Instant::now();
                let mut pushes = stream::iter(items.by_ref().take(pace.run_of::<B>()))
                    .map(|item| {
                        let mut connection = connection.clone();
                        async move { backlog.push(&mut connection, item).await }
                    })
                    .buffer_unordered(B::IN_FLIGHT);
                while let Some(pushed) = pushes.next().await {
                    match pushed {
                        Ok(Pushed { applied, discarded }) => {
                            self.replayed.applied.add(applied);
                            self.replayed.discarded.add(discarded);
                        }
                        Err(error) if error.is_unavailable() => return Err(error),
                        Err(error) => {
                            self.replayed.failed.add(1);
                            failed += 1;
                            refused = Some(error);
                        }
                    }
                }
                pace.rest_after(began.elapsed()).await;
            }
            if until.is_some_and(|until| Instant::now() > until) {
                tracing::warn!(
                    what = B::NAME,
                    "telling Redis what it missed takes long: the rest follows"
                );
                return Ok(false);
            }
        }
        match refused {
            Some(error) => {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(what = B::NAME, failed, %error, "Redis refuses to be told: tried again later");
                }
                Ok(false)
            }
            None => {
                unless_complete.settled();
                self.warned.store(false, Ordering::Relaxed);
                Ok(true)
            }
        }
    }
}

/// After each report of evictions, pushes all that guards again. The next pass waits for a few
/// probes, and for as long as the last one took: a Redis that evicts all the time is kept busy with
/// it for an eighth of the time at most.
async fn push_after_evictions<B: Backlog>(
    core: Weak<Core<B>>,
    mut evictions: watch::Receiver<u64>,
    probe_interval: Duration,
) {
    while evictions.changed().await.is_ok() {
        let began = Instant::now();
        {
            let Some(core) = core.upgrade() else { return };
            let Some(backlog) = core.backlog.upgrade() else { return };
            backlog.mark_lost(Continuity::Lost);
            // What this leaves is armed for, and pushed by the task or the next recovery.
            let _ = core.pass(&*backlog, &core.redis.connection(), Pace::Gentle).await;
        }
        sleep(began.elapsed().max(probe_interval * INTERVALS_BETWEEN)).await;
    }
}

/// The task: passes while Redis serves, until nothing is pending.
struct Task<B: Backlog>(Weak<Core<B>>);

impl<B: Backlog> Drop for Task<B> {
    /// However it ends: a push that panics must not keep the next task from starting.
    fn drop(&mut self) {
        if let Some(core) = self.0.upgrade() {
            core.armed.abandon();
        }
    }
}

impl<B: Backlog> Task<B> {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(mut status) = self.0.upgrade().map(|core| core.redis.monitor().watch()) else {
                return;
            };
            if status.wait_for(|status| status.is_available()).await.is_err() {
                return;
            }
            let Some(core) = self.0.upgrade() else { return };
            let Some(backlog) = core.backlog.upgrade() else { return };
            if let Ok(true) = core.pass(&backlog, &core.redis.connection(), Pace::Task).await {
                pause = FIRST_PAUSE;
                if core.armed.rest() {
                    // Another task may run from here on.
                    self.0 = Weak::new();
                    return;
                }
            } else {
                drop((core, backlog));
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

#[cfg(test)]
#[path = "replay/replay_tests.rs"]
mod tests;
