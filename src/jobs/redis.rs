//! A job's lease in Redis: one key that ends with it, and a hash that outlives it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::lease::{Fence, Lease};
use crate::{
    Error,
    redis::{Need, Redis, Script},
    telemetry::Feature,
    units::{micros, ttl_millis},
};

/// Asks for the lease of one job.
pub(super) struct RemoteLease {
    redis: Redis,
    lease: Lease,
    period: Duration,
    lease_key: String,
    keys: [String; 2],
    /// No other process, and no other job of that name in this one, is called so.
    owner: String,
    /// The highest fence that this process has seen.
    seen: AtomicU64,
    job: String,
    take: Script,
    renew: Script,
    release: Script,
    _need: Need,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// The tick of now.
    Tick,
    /// Only when the next tick is.
    Look,
    /// The tick of now, whose time has passed, if it is known that nobody took it.
    Late,
    /// A run because Redis is back, after an outage that began so long ago.
    Recovered(Duration),
}

/// What Redis says about a tick.
#[derive(Debug)]
pub(super) struct Decision {
    /// The run's token, if it is this instance's.
    pub(super) taken: Option<Fence>,
    /// Ticks before this one that no instance took.
    pub(super) missed: u64,
    /// The tick: microseconds since 1970, by Redis' clock.
    pub(super) tick: u64,
    /// When the command was sent.
    pub(super) sent: Instant,
    /// When the next tick is, or a little later.
    pub(super) next: Instant,
    /// This instance took the last tick that anybody took.
    pub(super) is_last_taker: bool,
    /// Values that were not ours, and were replaced.
    pub(super) replaced: u64,
}

impl RemoteLease {
    pub(super) fn new(redis: &Redis, job: &str, lease: Lease, period: Duration) -> Self {
        let key = |part| format!("{}:job:{{{job}}}:{part}", redis.namespace());
        let [lease_key, state] = ["lease", "state"].map(key);
        Self {
            redis: redis.clone(),
            lease,
            period,
            keys: [lease_key.clone(), state],
            lease_key,
            owner: format!("{}:{:016x}", redis.instance_id(), rand::random::<u64>()),
            seen: AtomicU64::new(0),
            job: job.to_owned(),
            take: Script::new(include_str!("take.lua")),
            renew: Script::new(include_str!("renew.lua")),
            release: Script::new(include_str!("release.lua")),
            _need: redis.need_rights(Feature::Jobs),
        }
    }

    pub(super) fn job(&self) -> &str {
        &self.job
    }

    pub(super) fn lease(&self) -> Lease {
        self.lease
    }

    /// Asks for a tick. The same `attempt` asks for the same one again.
    pub(super) async fn ask(&self, ask: Ask, attempt: u64) -> Result<Decision, Error> {
        let (what, since) = match ask {
            Ask::Tick => ("tick", Duration::ZERO),
            Ask::Look => ("look", Duration::ZERO),
            Ask::Late => ("late", Duration::ZERO),
            Ask::Recovered(since) => ("recovered", since),
        };
        let call = self.take.prepare(&self.keys).arg(&self.owner);
        let call = call.arg(ttl_millis(self.lease.length())).arg(micros(self.period));
        let call = call.arg(self.seen.load(Ordering::Relaxed)).arg(format!("{attempt:016x}"));
        let call = call.arg(what).arg(micros(since));
        let sent = Instant::now();
        let answer: (u8, u64, u64, u64, u64, u8, u64) =
            call.run(&mut self.redis.connection()).await?;
        let (taken, fence, missed, tick, wait, mine, replaced) = answer;
        self.seen.fetch_max(fence, Ordering::Relaxed);
        Ok(Decision {
            taken: (taken == 1).then_some(Fence(fence)),
            missed,
            tick,
            sent,
            // The count began before the answer was here: this is late rather than early.
            next: Instant::now() + Duration::from_micros(wait),
            is_last_taker: mine == 1,
            replaced,
        })
    }

    /// `false`: it is another's, or nobody's.
    pub(super) async fn renew(&self, fence: Fence) -> Result<bool, Error> {
        let call = self.renew.prepare(&[&self.lease_key]).arg(self.holder(fence));
        call.arg(ttl_millis(self.lease.length())).run(&mut self.redis.connection()).await
    }

    /// Gives it back. What Redis does not hear ends by itself.
    pub(super) async fn release(&self, fence: Fence) {
        let call = self.release.prepare(&[&self.lease_key]).arg(self.holder(fence));
        let _: Result<bool, Error> = call.run(&mut self.redis.connection()).await;
    }

    fn holder(&self, fence: Fence) -> String {
        format!("{}:{fence}", self.owner)
    }
}
