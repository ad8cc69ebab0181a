//! Who is alive: one heartbeat in Redis for each process and [`Redis`] handle, shared by all limits
//! over it.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand::RngExt;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::{
    redis::{Redis, Script},
    units::ttl_millis,
};

const SCRIPT: &str = include_str!("membership.lua");
/// Heartbeats that may be missed before a member counts as gone.
const MISSED: u32 = 3;
/// Heartbeats after each return of Redis begin this close together, so that members which start
/// together soon know of each other.
const FIRST_BEAT: Duration = Duration::from_millis(250);

/// Among how many members a limit is divided while Redis is away.
#[derive(Clone)]
pub(crate) struct MemberCount {
    heard: Arc<Heard>,
    settings: MemberSettings,
    _membership: Arc<Membership>,
}

/// What a limit was told about the members.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemberSettings {
    /// So many, whatever the heartbeats say.
    pub(crate) fixed: Option<NonZeroU32>,
    /// At least so many, until the heartbeats have been heard for long enough.
    pub(crate) expected: NonZeroU32,
}

impl Default for MemberSettings {
    fn default() -> Self {
        Self { fixed: None, expected: NonZeroU32::MIN }
    }
}

impl MemberCount {
    /// Joins the members of this handle's Redis, where the process has not done so.
    pub(crate) fn new(redis: &Redis, settings: MemberSettings) -> Self {
        let membership = redis.shared(|| Membership::join(redis));
        Self { heard: Arc::clone(&membership.heard), settings, _membership: membership }
    }

    /// How many there are, as far as is known here; never waits.
    #[inline]
    pub(crate) fn get(&self) -> NonZeroU32 {
        let MemberSettings { fixed, expected } = self.settings;
        fixed.unwrap_or_else(|| self.heard.among(expected))
    }
}

/// The membership of this process: as long as somebody holds it, its heartbeats are written.
struct Membership {
    heard: Arc<Heard>,
    task: AbortHandle,
}

impl Membership {
    fn join(redis: &Redis) -> Arc<Self> {
        let heard = Arc::new(Heard::default());
        let task = redis.spawn(run(redis.clone(), Arc::clone(&heard)));
        Arc::new(Self { heard, task })
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Writes the heartbeats until it is aborted, or the monitor has ended.
async fn run(redis: Redis, heard: Arc<Heard>) {
    // Processes that were given the same name by mistake still count apart.
    static PROCESS: OnceLock<u64> = OnceLock::new();
    let process = PROCESS.get_or_init(rand::random);
    let (script, period) = (Script::new(SCRIPT), redis.probe_interval());
    let lasts = ttl_millis(period * MISSED);
    let heartbeat = script.prepare(&[format!("{}:instances", redis.namespace())]);
    let heartbeat = heartbeat.arg(format!("{}:{process:016x}", redis.instance_id())).arg(lasts);

    let mut status = redis.monitor().watch();
    let mut counts = RecentCounts::new(period);
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = sleep(wait.mul_f64(rand::rng().random_range(0.9..1.1))) => {}
            changed = status.changed() => match changed {
                Ok(()) => wait = Duration::ZERO,
                Err(_ended) => return,
            },
        }
        if !redis.monitor().is_available() {
            wait = period;
            continue;
        }
        wait = (wait * 2).clamp(FIRST_BEAT.min(period), period);
        // What fails is done the next time.
        if let Ok(count) = heartbeat.run(&mut redis.connection()).await {
            counts.observe(count, Instant::now());
            heard.store(&counts);
        }
    }
}

/// What the heartbeats say, for threads that do not wait.
#[derive(Default)]
struct Heard {
    count: AtomicU32,
    /// The heartbeats have been heard for long enough to be believed when they say fewer than
    /// expected.
    is_settled: AtomicBool,
}

impl Heard {
    fn store(&self, counts: &RecentCounts) {
        self.count.store(counts.largest(), Ordering::Relaxed);
        self.is_settled.store(counts.are_complete(), Ordering::Relaxed);
    }

    #[inline]
    fn among(&self, expected: NonZeroU32) -> NonZeroU32 {
        let count = NonZeroU32::new(self.count.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN);
        if self.is_settled.load(Ordering::Relaxed) { count } else { count.max(expected) }
    }
}

/// The newest counts, one for each of the last [`MISSED`] periods and this one.
///
/// The largest of them is believed: more at once, fewer only after all have said so. Right after an
/// outage the others have not written their heartbeats again, and a member that took itself for the
/// only one left would hand out the whole limit.
struct RecentCounts {
    period: Duration,
    counts: [u32; MISSED as usize + 1],
    begun: Option<Instant>,
}

impl RecentCounts {
    fn new(period: Duration) -> Self {
        Self { period, counts: [0; MISSED as usize + 1], begun: None }
    }

    fn observe(&mut self, count: u32, now: Instant) {
        // Heartbeats after a reconnect come in quick succession; only time makes an old count old.
        // A little less than a period, since heartbeats are jittered.
        let is_over = |begun: Instant| now.duration_since(begun) >= self.period.mul_f64(0.8);
        // A member that counts itself is at least one: 0 stands for a period not heard of.
        let count = count.max(1);
        if self.begun.is_none_or(is_over) {
            self.counts.rotate_right(1);
            self.counts[0] = count;
            self.begun = Some(now);
        } else {
            self.counts[0] = self.counts[0].max(count);
        }
    }

    fn largest(&self) -> u32 {
        self.counts.iter().copied().max().unwrap_or(1)
    }

    fn are_complete(&self) -> bool {
        !self.counts.contains(&0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(5);

    fn of(members: u32) -> NonZeroU32 {
        NonZeroU32::new(members).expect("not zero")
    }

    /// Observes a count, and says how many are believed in.
    fn observed(counts: &mut RecentCounts, count: u32, now: Instant, expected: u32) -> u32 {
        counts.observe(count, now);
        let heard = Heard::default();
        heard.store(counts);
        heard.among(of(expected)).get()
    }

    #[tokio::test(start_paused = true)]
    async fn more_at_once_and_fewer_when_it_is_sure() {
        let mut counts = RecentCounts::new(PERIOD);
        let mut at = Instant::now();
        let mut observe = |seconds, count| {
            at += Duration::from_secs(seconds);
            observed(&mut counts, count, at, 1)
        };
        assert_eq!(observe(0, 1), 1);
        assert_eq!(observe(5, 4), 4);
        assert_eq!([observe(5, 1), observe(5, 1), observe(5, 1)], [4, 4, 4]);
        assert_eq!(observe(5, 1), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn flapping_does_not_hurry_it() {
        let mut counts = RecentCounts::new(PERIOD);
        let mut at = Instant::now();
        assert_eq!(observed(&mut counts, 4, at, 1), 4);
        for _ in 0..30 {
            at += Duration::from_millis(300);
            assert_eq!(observed(&mut counts, 1, at, 1), 4);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_expected_holds_until_it_is_known_better() {
        assert_eq!(Heard::default().among(of(6)).get(), 6, "before the first heartbeat");
        let mut counts = RecentCounts::new(PERIOD);
        let start = Instant::now();
        let observed: Vec<u32> =
            (0..4).map(|n| observed(&mut counts, 2, start + PERIOD * n, 6)).collect();
        assert_eq!(observed, [6, 6, 6, 2]);
    }
}
