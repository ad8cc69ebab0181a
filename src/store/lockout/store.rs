//! The handle.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use super::{
    Attempt, LockoutPolicy, LockoutStatus, LoginVerdict, journal,
    law::{Change, Outcome},
    memory::LocalStates,
    metrics::LockoutMetrics,
    policy::millis,
    redis::Remote,
};
use crate::{
    Error, ErrorKind, Served,
    health::{Registration, Stage},
    redis::Redis,
    store::{
        Journal,
        journal::DynJournal,
        rate::Subject,
        switch::{Needs, Switch},
    },
    telemetry::Feature,
};

/// Subjects that memory keeps, unless set.
const BOUND: usize = 100_000;

/// Counts failed attempts, and locks. Cheap to clone; one for each kind of subject: one for user
/// names, one for addresses.
///
/// See the [module](super) for how it works.
#[derive(Clone)]
pub struct Lockout {
    inner: Arc<Inner>,
    _step: Arc<Registration>,
}

pub(super) struct Inner {
    pub(super) local: LocalStates,
    pub(super) remote: Remote,
    pub(super) metrics: LockoutMetrics,
    pub(super) redis: Redis,
    /// A task is about to tell Redis what it has missed.
    pub(super) pushing: AtomicBool,
    switch: Switch,
    name: String,
    journal: Option<Box<dyn DynJournal>>,
}

impl Lockout {
    /// A lockout of this name in this Redis. Returns at once, Redis or no Redis. Lockouts of one
    /// name (1 to 64 letters, digits or `-`) count together and should have one policy. Memory
    /// keeps 100 000 subjects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for another name.
    pub fn new(redis: &Redis, name: &str, policy: LockoutPolicy) -> Result<Self, Error> {
        Self::start(redis, name, policy, BOUND, None)
    }

    /// The same, with room for `bound` subjects in memory (at least 1).
    ///
    /// Nothing that still counts is forgotten to make room: while the table is full, newcomers are
    /// counted together and locked together.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_bound(
        redis: &Redis,
        name: &str,
        policy: LockoutPolicy,
        bound: usize,
    ) -> Result<Self, Error> {
        Self::start(redis, name, policy, bound, None)
    }

    /// The same as [`new`](Self::new), with a place on disk for locks, so that they outlive the
    /// process during an outage. Failed attempts that have not led to a lock are not kept there.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and when the journal cannot be read.
    pub async fn with_journal(
        redis: &Redis,
        name: &str,
        policy: LockoutPolicy,
        journal: impl Journal,
    ) -> Result<Self, Error> {
        let saved = journal.load(journal::FEATURE).await?;
        let lockout = Self::start(redis, name, policy, BOUND, Some(Box::new(journal)))?;
        let local = &lockout.inner.local;
        for (subject, state) in journal::read(name, &saved, local.now()) {
            local.apply(&subject, &Change::Merge(state));
        }
        Ok(lockout)
    }

    fn start(
        redis: &Redis,
        name: &str,
        policy: LockoutPolicy,
        bound: usize,
        journal: Option<Box<dyn DynJournal>>,
    ) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(Error::new(
                ErrorKind::Config,
                "a lockout is named by 1 to 64 letters, digits or hyphens",
            ));
        }
        let inner = Arc::new(Inner {
            local: LocalStates::new(policy, bound),
            remote: Remote::new(redis.namespace(), name, policy),
            metrics: LockoutMetrics::new(redis.metrics()),
            redis: redis.clone(),
            pushing: AtomicBool::new(false),
            switch: Switch::new(redis, Feature::Lockout, Needs::Writes),
            name: name.to_owned(),
            journal,
        });
        let weak = Arc::downgrade(&inner);
        let step = redis.on_recovery(Stage::Counters, "lockout", move |connection, recovery| {
            let weak = weak.clone();
            async move {
                match weak.upgrade() {
                    Some(store) => store.recover(connection, recovery).await,
                    None => Ok(()),
                }
            }
        });
        Ok(Self { inner, _step: Arc::new(step) })
    }

    /// Takes a place for one attempt, before the password is judged. At most as many are judged at
    /// once as may still fail.
    ///
    /// Tell what came of it with [`fail`](Self::fail), [`succeed`](Self::succeed) or
    /// [`cancel`](Self::cancel); an attempt of which nothing is told counts as failed after the
    /// policy's [attempt timeout](LockoutPolicy::with_attempt_timeout).
    ///
    /// # Errors
    ///
    /// Only what is about the command itself (no right to run it, say): refuse the attempt. A
    /// failure or a lock counts here all the same.
    pub async fn attempt(&self, subject: &Subject) -> Result<Served<LoginVerdict>, Error> {
        let subject = subject.redis_form();
        let nonce = rand::random();
        let outcome = self.inner.change(&subject, Change::Begin(nonce)).await?;
        if !outcome.admitted {
            self.inner.metrics.refused.add(1);
        }
        Ok(outcome.map(|outcome| {
            if outcome.admitted {
                LoginVerdict::Admitted(Attempt { subject, nonce, left: outcome.left })
            } else {
                LoginVerdict::Refused(LockoutStatus::of(outcome))
            }
        }))
    }

    /// The attempt failed: it counts, and may lock.
    ///
    /// # Errors
    ///
    /// As for [`attempt`](Self::attempt).
    pub async fn fail(&self, attempt: Attempt) -> Result<Served<LockoutStatus>, Error> {
        self.inner.metrics.failed.add(1);
        let change = Change::Fail(attempt.nonce);
        Ok(self.inner.change(&attempt.subject, change).await?.map(LockoutStatus::of))
    }

    /// Counts a failure for which no place was taken: for subjects that many share, an address say,
    /// whose right attempts must not wait for each other. Ask [`status`](Self::status) first.
    ///
    /// # Errors
    ///
    /// As for [`attempt`](Self::attempt).
    pub async fn count(&self, subject: &Subject) -> Result<Served<LockoutStatus>, Error> {
        self.inner.metrics.failed.add(1);
        let change = Change::Fail(rand::random());
        Ok(self.inner.change(&subject.redis_form(), change).await?.map(LockoutStatus::of))
    }

    /// The attempt succeeded: the failed ones are forgotten. A lock that has fallen meanwhile
    /// stays.
    ///
    /// # Errors
    ///
    /// As for [`attempt`](Self::attempt).
    pub async fn succeed(&self, attempt: Attempt) -> Result<Served<LockoutStatus>, Error> {
        self.inner.metrics.succeeded.add(1);
        let change = Change::Succeed(attempt.nonce);
        Ok(self.inner.change(&attempt.subject, change).await?.map(LockoutStatus::of))
    }

    /// The attempt was not made after all (another lockout has refused it): its place is free
    /// again.
    ///
    /// # Errors
    ///
    /// As for [`attempt`](Self::attempt).
    pub async fn cancel(&self, attempt: Attempt) -> Result<Served<LockoutStatus>, Error> {
        let change = Change::Cancel(attempt.nonce);
        Ok(self.inner.change(&attempt.subject, change).await?.map(LockoutStatus::of))
    }

    /// Locks for this long at least, at most a century.
    ///
    /// # Errors
    ///
    /// As for [`attempt`](Self::attempt).
    pub async fn lock(
        &self,
        subject: &Subject,
        time: Duration,
    ) -> Result<Served<LockoutStatus>, Error> {
        let change = Change::Lock(millis(time));
        Ok(self.inner.change(&subject.redis_form(), change).await?.map(LockoutStatus::of))
    }

    /// Lifts the lock, and forgets failed attempts.
    ///
    /// # Errors
    ///
    /// As for [`attempt`](Self::attempt).
    ///
    /// # When Redis is down
    ///
    /// It holds on this instance until Redis is back ([`Served::source`] says so): what Redis has
    /// locked stays locked there.
    pub async fn unlock(&self, subject: &Subject) -> Result<Served<LockoutStatus>, Error> {
        self.inner.metrics.unlocked.add(1);
        let subject = subject.redis_form();
        let outcome = self.inner.change(&subject, Change::Unlock).await?;
        self.inner.save(&subject, SystemTime::UNIX_EPOCH, 0).await?;
        Ok(outcome.map(LockoutStatus::of))
    }

    /// Is it locked, and how many attempts may still fail? Changes nothing.
    ///
    /// # Errors
    ///
    /// As for [`attempt`](Self::attempt).
    pub async fn status(&self, subject: &Subject) -> Result<Served<LockoutStatus>, Error> {
        Ok(self.inner.change(&subject.redis_form(), Change::Read).await?.map(LockoutStatus::of))
    }

    /// How many subjects memory knows.
    pub fn len(&self) -> usize {
        self.inner.local.len()
    }

    /// Whether memory knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    async fn change(
        self: &Arc<Self>,
        subject: &str,
        change: Change,
    ) -> Result<Served<Outcome>, Error> {
        let mut connection = self.redis.connection();
        let ask = async {
            // What Redis missed (a timeout, say) comes first.
            if let Some(pending) = self.local.pending_of(subject).filter(|_| self.switch.is_up()) {
                self.merge(&mut connection, subject, pending).await?;
            }
            let now = self.local.now();
            let answer = self.remote.apply(&mut connection, subject, &change, now).await?;
            Ok(self.local.adopt(subject, answer))
        };
        let outcome = self.switch.try_ask(ask, || self.apply_local(subject, &change)).await;
        let outcome = outcome.inspect_err(|_| {
            // What guards is not lost by an error.
            if matches!(change, Change::Fail(_) | Change::Lock(_)) {
                self.apply_local(subject, &change);
            }
        })?;
        if outcome.newly_locked {
            let saved = self.save_lock(subject, outcome.value).await;
            if outcome.is_degraded() {
                saved?;
            }
        }
        Ok(outcome)
    }

    fn apply_local(self: &Arc<Self>, subject: &str, change: &Change) -> Outcome {
        let outcome = self.local.apply(subject, change);
        if *change != Change::Read {
            self.push_soon();
        }
        outcome
    }

    /// A lock has fallen.
    async fn save_lock(&self, subject: &str, outcome: Outcome) -> Result<(), Error> {
        self.metrics.locked.add(1);
        let until = SystemTime::now() + Duration::from_millis(outcome.wait);
        self.save(subject, until, outcome.consecutive_locks).await
    }

    async fn save(
        &self,
        subject: &str,
        until: SystemTime,
        consecutive_locks: u32,
    ) -> Result<(), Error> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let saved =
            journal.save(journal::write(&self.name, subject, until, consecutive_locks)).await;
        saved.inspect_err(|error| tracing::warn!(%error, "a lock was not saved"))
    }
}

impl fmt::Debug for Lockout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lockout")
            .field("name", &self.inner.name)
            .field("known", &self.len())
            .finish_non_exhaustive()
    }
}
