//! The task of one job: waits for ticks, decides, begins runs, and survives whatever they do.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    active::{Active, End, Event, Job},
    asking::{ask, is_reached},
    keeper::LeaseGuard,
    lease::Fence,
    metrics::Record,
    missed::{Made, Skipped},
    outage::Outages,
    outcome::{Outcome, SkipReason},
    redis::{Decision, RemoteLease},
    registry::Registry,
    settings::Settings,
    status::JobState,
    stop::Stop,
    timer::Timer,
    why::Why,
};
use crate::{health::Status, redis::Redis, units};

/// Between two questions for the run of a recovery.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Runner {
    redis: Redis,
    job: Job,
    settings: Settings,
    state: Arc<JobState>,
    record: Record,
    registry: Arc<Registry>,
    stop: Stop,
    /// `None`: each instance runs the job.
    remote: Option<Arc<RemoteLease>>,
    timer: Timer,
    active: Option<Active>,
    /// Further runs to follow the one that is under way.
    catching_up: u32,
    skipped: Skipped,
    /// The tick that was decided last.
    decided: Option<u64>,
    /// Kept until Redis has answered it.
    attempt: u64,
    is_answered: bool,
    outages: Outages,
    /// A run is owed for the end of the outage that began then.
    recovered: Option<Instant>,
    last_fence: u64,
}

enum Wake {
    Stop(Instant),
    Run(Event),
    Tick,
    Redis,
}

impl Runner {
    pub(super) fn new(
        redis: &Redis,
        job: Job,
        settings: Settings,
        state: &Arc<JobState>,
        registry: &Arc<Registry>,
        timer: Timer,
    ) -> Self {
        let remote = settings
            .lease
            .map(|lease| RemoteLease::new(redis, state.name(), lease, settings.period));
        Self {
            redis: redis.clone(),
            job,
            record: Record::new(redis.metrics(), state),
            state: Arc::clone(state),
            registry: Arc::clone(registry),
            stop: registry.stop(),
            remote: remote.map(Arc::new),
            timer,
            active: None,
            catching_up: 0,
            skipped: Skipped::default(),
            decided: None,
            attempt: rand::random(),
            is_answered: false,
            outages: Outages::new(redis.monitor().status().outages, Instant::now()),
            recovered: None,
            last_fence: 0,
            settings,
        }
    }

    /// Runs the job until the jobs are shut down, or the monitor has ended.
    pub(super) async fn run(mut self) {
        let mut status = self.redis.monitor().watch();
        // Redis may be there already.
        status.mark_changed();
        let deadline = loop {
            self.state.set_next(Some(self.timer.due()));
            match self.wake(&mut status).await {
                Wake::Stop(deadline) => break deadline,
                Wake::Run(Event::TimedOut(took)) => self.record.run(Outcome::TimedOut, took, None),
                Wake::Run(Event::Ended(end)) => self.finish(end).await,
                Wake::Tick => self.tick().await,
                Wake::Redis => {
                    let status = *status.borrow_and_update();
                    self.observe(&status).await;
                }
            }
        };
        self.wind_down(deadline).await;
    }

    async fn wake(&mut self, status: &mut watch::Receiver<Status>) -> Wake {
        let is_owed = self.is_owed();
        let active = async {
            match &mut self.active {
                Some(active) => active.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            deadline = self.stop.asked() => Wake::Stop(deadline),
            () = self.redis.monitor().ended() => Wake::Stop(Instant::now()),
            event = active => Wake::Run(event),
            () = sleep_until(self.timer.due()) => Wake::Tick,
            Ok(()) = status.changed(), if self.settings.watches_redis() => Wake::Redis,
            // The question failed, and the state of Redis may stay as it is: it is asked again.
            () = sleep(RETRY), if is_owed => Wake::Redis,
        }
    }

    /// A run is owed for a recovery, and nothing stands in its way.
    fn is_owed(&self) -> bool {
        self.recovered.is_some() && self.active.is_none() && self.redis.monitor().is_available()
    }

    async fn tick(&mut self) {
        self.timer.advance(Instant::now());
        if self.active.is_some() {
            self.skipped.running += 1;
            self.record.skip(SkipReason::StillRunning, None);
        } else {
            self.attempt(Why::Tick).await;
        }
    }

    /// The state of Redis has changed.
    async fn observe(&mut self, status: &Status) {
        let Some(seen) = self.outages.observe(status, Instant::now()) else { return };
        let is_over = seen.is_over || self.skipped.away > 0;
        if is_over && self.settings.on_recovery {
            self.recovered.get_or_insert(seen.began);
        }
        if self.active.is_some() {
            return;
        }
        if let Some(began) = self.recovered {
            self.attempt(Why::Recovered(began)).await;
        } else if self.skipped.away > 0 && self.settings.catch_up > 0 {
            self.attempt(Why::CatchUp).await;
        } else if seen.is_first && self.remote.is_some() {
            self.attempt(Why::Start).await;
        }
    }

    /// Begins a run, if this instance may.
    async fn attempt(&mut self, why: Why) {
        if self.settings.needs_redis && !is_reached(self.redis.monitor()).await {
            return self.skip_away(why, None);
        }
        let Some(remote) = self.remote.clone() else { return self.begin_everywhere(why) };
        if why != Why::Again && self.is_answered {
            self.attempt = rand::random();
            self.is_answered = false;
        }
        let what = why.asks(self.settings.catch_up, Instant::now());
        match ask(&remote, self.redis.monitor(), what, self.attempt).await {
            Ok(told) => self.decided_by_redis(&remote, why, &told),
            Err(error) => self.skip_away(why, Some(&error.to_string())),
        }
    }

    fn begin_everywhere(&mut self, why: Why) {
        if why != Why::Again {
            let away = std::mem::take(&mut self.skipped).away;
            self.catching_up = away.min(why.catch_up(self.settings.catch_up).into()) as u32;
        }
        let now = units::micros(units::since_1970(SystemTime::now()));
        self.last_fence = (self.last_fence + 1).max(now);
        self.begin(Fence(self.last_fence), None);
    }

    /// Redis has decided.
    fn decided_by_redis(&mut self, remote: &Arc<RemoteLease>, why: Why, decision: &Decision) {
        self.is_answered = true;
        self.outages.answered(Instant::now());
        // By this run, or by another instance's.
        if matches!(why, Why::Recovered(_)) {
            self.recovered = None;
        }
        self.record.replaced(decision.replaced);
        self.timer.anchor(decision.next);
        self.state.set_holder(decision.is_last_taker);
        let is_decided = self.decided == Some(decision.tick);
        let Some(fence) = decision.taken else {
            // By Redis' clock it is too early for the next tick: it will be asked for in its time.
            if why == Why::Tick && !is_decided {
                self.decided = Some(decision.tick);
                self.skipped = Skipped::default();
                self.record.skip(SkipReason::NotMine, None);
            }
            return;
        };
        self.decided = Some(decision.tick);
        if why != Why::Again {
            let skipped = std::mem::take(&mut self.skipped);
            let Made { up, uncounted } =
                skipped.settle(decision.missed, why.catch_up(self.settings.catch_up));
            self.catching_up = up;
            self.record.skip_missed(uncounted);
        }
        self.begin(fence, Some(LeaseGuard::new(remote, fence, decision.sent)));
    }

    fn begin(&mut self, fence: Fence, held: Option<LeaseGuard>) {
        self.recovered = None;
        self.state.set_running(true);
        let (stop, timeout) = (self.stop.clone(), self.settings.timeout());
        let active = Active::begin(&self.job, self.state.name(), fence, held, stop, timeout);
        self.active = Some(active);
    }

    fn skip_away(&mut self, why: Why, error: Option<&str>) {
        if self.remote.is_some() {
            self.state.set_holder(false);
        }
        if why == Why::Tick {
            self.skipped.away += 1;
            self.record.skip(SkipReason::RedisAway, error);
        }
    }

    /// The run has ended, however it did: its lease is given back.
    async fn finish(&mut self, end: End) {
        if let Some((outcome, took, why)) = end {
            self.record.run(outcome, took, why.as_deref());
        }
        self.state.set_running(false);
        let held = self.active.take().and_then(|active| active.held);
        if let (Some(held), Some(remote)) = (held, &self.remote) {
            remote.release(held.fence).await;
        }
        if self.stop.deadline().is_some() {
            return;
        }
        if self.catching_up > 0 {
            self.catching_up -= 1;
            self.attempt(Why::Again).await;
        } else if let Some(began) = self.recovered {
            self.attempt(Why::Recovered(began)).await;
        }
    }

    /// No run begins any more; the one that is under way is told, and aborted at the deadline.
    async fn wind_down(mut self, deadline: Instant) {
        self.catching_up = 0;
        self.state.set_next(None);
        let Some(active) = &mut self.active else { return };
        let (is_aborted, ended) = active.wind_down(deadline, &mut self.record).await;
        self.registry.aborted.fetch_add(is_aborted.into(), Ordering::Relaxed);
        // Where it goes on all the same, its lease ends by itself, and not before.
        let Some(end) = ended else { return };
        self.finish(end).await;
    }
}
