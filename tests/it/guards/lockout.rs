//! What the lockout tests have in common.

use std::time::Duration;

use evenkeel::{
    Served, Source,
    redis::Redis,
    store::{
        lockout::{Attempt, Lockout, LockoutPolicy, LockoutStatus, LoginVerdict},
        rate::Subject,
    },
    telemetry::Metrics,
};

use super::{available, away, metric, quick};

pub(crate) const WINDOW: Duration = Duration::from_secs(15 * 60);

pub(crate) fn policy() -> LockoutPolicy {
    LockoutPolicy::new(5, WINDOW).unwrap()
}

pub(crate) fn alice() -> Subject {
    Subject::secret("alice")
}

/// One instance with a lockout.
pub(crate) struct Guard {
    pub(crate) redis: Redis,
    pub(crate) lockout: Lockout,
    pub(crate) metrics: Metrics,
}

impl Guard {
    pub(crate) fn at(url: &str) -> Self {
        let metrics = Metrics::prometheus("test", "a");
        let redis = Redis::new(quick(url, &metrics)).unwrap();
        let lockout = Lockout::new(&redis, "login", policy()).unwrap();
        Self { redis, lockout, metrics }
    }

    /// Two instances at one server.
    pub(crate) async fn pair_at(url: &str) -> [Self; 2] {
        [Self::at(url).ready().await, Self::at(url).ready().await]
    }

    pub(crate) async fn ready(self) -> Self {
        available(&self.redis).await;
        self
    }

    pub(crate) async fn away(&self) {
        away(&self.redis).await;
    }

    pub(crate) fn metric(&self, words: &[&str]) -> u64 {
        metric(&self.metrics, words)
    }

    /// What Redis says; a busy machine may let memory answer now and then.
    pub(crate) async fn told_by_redis(&self, who: &Subject) -> LockoutStatus {
        loop {
            let standing = self.lockout.status(who).await.unwrap();
            if standing.source == Source::Redis {
                return standing.value;
            }
            available(&self.redis).await;
        }
    }

    pub(crate) async fn standing(&self) -> LockoutStatus {
        self.lockout.status(&alice()).await.unwrap().value
    }
}

pub(crate) async fn begin(lockout: &Lockout, who: &Subject) -> Result<Attempt, LockoutStatus> {
    match lockout.attempt(who).await.unwrap().value {
        LoginVerdict::Admitted(attempt) => Ok(attempt),
        LoginVerdict::Refused(standing) => Err(standing),
    }
}

/// One wrong password.
pub(crate) async fn wrong(lockout: &Lockout) -> Served<LockoutStatus> {
    let attempt = begin(lockout, &alice()).await.expect("admitted");
    lockout.fail(attempt).await.unwrap()
}
