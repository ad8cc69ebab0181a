//! The handle: attempts and their results, locks.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    answer::{Attempt, LockoutStatus, LoginVerdict},
    backlog::LockoutBacklog,
    journal,
    law::{Change, Outcome},
    memory::{LocalStates, Room},
    metrics::LockoutMetrics,
    policy::{LockoutPolicy, millis},
    redis::Remote,
};
use crate::{
    Error, ErrorKind, Served,
    redis::Redis,
    store::{
        JournalRecord,
        finish::finish,
        journal::DynJournal,
        rate::Subject,
        replay::Replay,
        switch::{Needs, Switch},
    },
    telemetry::Feature,
};

/// Counts failed attempts, and locks. Cheap to clone; one for each kind of subject: one for user
/// names, one for addresses.
///
/// A future of it that is dropped after its first poll is carried to its end all the same, so a
/// client that goes away takes nothing back.
///
/// See the [module](super) for how it works.
#[derive(Clone)]
pub struct Lockout {
    inner: Arc<Inner>,
}

struct Inner {
    backlog: Arc<LockoutBacklog>,
    replay: Replay<LockoutBacklog>,
    metrics: LockoutMetrics,
    redis: Redis,
    switch: Switch,
    name: String,
    journal: Option<Box<dyn DynJournal>>,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) policy: LockoutPolicy,
    pub(super) capacity: usize,
}

impl Lockout {
    pub(super) fn start(
        redis: &Redis,
        settings: Settings,
        journal: Option<Box<dyn DynJournal>>,
        saved: &[JournalRecord],
    ) -> Result<Self, Error> {
        let Settings { name, policy, capacity } = settings;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(Error::new(
                ErrorKind::Config,
                "a lockout is named by 1 to 64 letters, digits or hyphens",
            ));
        }
        let local = LocalStates::new(policy, capacity);
        for (subject, state) in journal::read(&name, saved, local.now()) {
            local.restore(&subject, &state);
        }
        let remote = Remote::new(redis.namespace(), &name, policy);
        let backlog = Arc::new(LockoutBacklog { local, remote });
        let replay = Replay::new(redis, Arc::downgrade(&backlog));
        if !saved.is_empty() {
            replay.arm();
        }
        let inner = Inner {
            backlog,
            replay,
            metrics: LockoutMetrics::new(redis.metrics()),
            redis: redis.clone(),
            switch: Switch::new(redis, Feature::Lockout, Needs::Writes),
            name,
            journal,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes a slot for one attempt, before the password is verified. At most as many are under way
    /// at once as may still fail.
    ///
    /// Report the result with [`fail`](Self::fail), [`succeed`](Self::succeed) or
    /// [`cancel`](Self::cancel); an attempt without a result counts as failed after the policy's
    /// [attempt timeout](LockoutPolicy::with_attempt_timeout).
    ///
    /// # Errors
    ///
    /// Only what is about the command itself (no right to run it, say): refuse the attempt. A
    /// failure or a lock counts here all the same.
    pub async fn attempt(&self, subject: &Subject) -> Result<Served<LoginVerdict>, Error> {
        let subject = subject.redis_form();
        let nonce = rand::random();
        let outcome = self.apply(subject.clone(), Change::Begin(nonce)).await?;
        if !outcome.admitted {
            self.inner.metrics.refused.add(1);
        }
        Ok(outcome.map(|outcome| {
            if outcome.admitted {
                LoginVerdict::Admitted(Attempt { subject, nonce, left: outcome.left })
            } else {
                LoginVerdict::Refused(LockoutStatus(outcome))
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
        self.change(attempt.subject, Change::Fail(attempt.nonce)).await
    }

    /// Counts a failure for which no slot was taken: for subjects that many share, an address say,
    /// whose right attempts must not wait for each other.
    ///
    /// To ask [`status`](Self::status) first is to check, then act: attempts that come at once slip
    /// past the threshold together. Where that matters, take a place with
    /// [`attempt`](Self::attempt) and [cancel](Self::cancel) those that were right, with a
    /// threshold above what comes at once.
    ///
    /// # Errors
    ///
    /// As for [`attempt`](Self::attempt).
    pub async fn count(&self, subject: &Subject) -> Result<Served<LockoutStatus>, Error> {
        self.inner.metrics.failed.add(1);
        self.change(subject.redis_form(), Change::Fail(rand::random())).await
    }

    /// The attempt succeeded: the failed ones are forgotten. A lock that was set meanwhile
    /// stays.
    ///
    /// # Errors
    ///
    /// As for [`attempt`](Self::attempt).
    pub async fn succeed(&self, attempt: Attempt) -> Result<Served<LockoutStatus>, Error> {
        self.inner.metrics.succeeded.add(1);
        self.change(attempt.subject, Change::Succeed(attempt.nonce)).await
    }

    /// The attempt was not made after all (another lockout has refused it): its slot is free
    /// again.
    ///
    /// # Errors
    ///
    /// As for [`attempt`](Self::attempt).
    pub async fn cancel(&self, attempt: Attempt) -> Result<Served<LockoutStatus>, Error> {
        self.change(attempt.subject, Change::Cancel(attempt.nonce)).await
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
        self.change(subject.redis_form(), Change::Lock(millis(time))).await
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
        self.change(subject.redis_form(), Change::Unlock).await
    }

    /// Is it locked, and how many attempts may still fail? Changes nothing.
    ///
    /// # Errors
    ///
    /// As for [`attempt`](Self::attempt).
    pub async fn status(&self, subject: &Subject) -> Result<Served<LockoutStatus>, Error> {
        self.change(subject.redis_form(), Change::Read).await
    }

    /// How many subjects memory knows.
    pub fn len(&self) -> usize {
        self.inner.backlog.local.len()
    }

    /// Whether memory knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    async fn change(
        &self,
        subject: String,
        change: Change,
    ) -> Result<Served<LockoutStatus>, Error> {
        Ok(self.apply(subject, change).await?.map(LockoutStatus))
    }

    async fn apply(&self, subject: String, change: Change) -> Result<Served<Outcome>, Error> {
        let inner = Arc::clone(&self.inner);
        finish(&self.inner.redis, async move { inner.apply(&subject, change).await }).await
    }
}

impl Inner {
    async fn apply(&self, subject: &str, change: Change) -> Result<Served<Outcome>, Error> {
        let ask = self.apply_in_redis(subject, change);
        let outcome = self.switch.try_ask(ask, || self.apply_local(subject, change)).await;
        let outcome = outcome.inspect_err(|_| {
            // What guards is not lost by an error.
            if matches!(change, Change::Fail(_) | Change::Lock(_)) {
                self.apply_local(subject, change);
            }
        })?;
        if outcome.newly_locked {
            self.metrics.locked.add(1);
            let until = SystemTime::now() + Duration::from_millis(outcome.wait);
            let saved = self.save(subject, until, outcome.consecutive_locks).await;
            if outcome.is_degraded() {
                saved?;
            }
        }
        if change == Change::Unlock {
            self.save(subject, SystemTime::UNIX_EPOCH, 0).await?;
        }
        Ok(outcome)
    }

    async fn apply_in_redis(&self, subject: &str, change: Change) -> Result<Outcome, Error> {
        // What Redis missed (a timeout, say) or may have dropped comes first.
        let known = self.backlog.local.due_of(subject);
        let mut connection = self.redis.connection();
        self.backlog.ask(&mut connection, subject, known.as_ref(), change).await
    }

    fn apply_local(&self, subject: &str, change: Change) -> Outcome {
        let (outcome, room) = self.backlog.local.apply(subject, change);
        if let Room::Shared { is_news } = room {
            self.metrics.overflowed.add(1);
            if is_news {
                tracing::warn!(
                    lockout = self.name,
                    "more subjects have failed than memory keeps: newcomers are counted together with others"
                );
            }
        }
        if change != Change::Read {
            self.replay.arm();
        }
        outcome
    }

    async fn save(
        &self,
        subject: &str,
        until: SystemTime,
        consecutive_locks: u32,
    ) -> Result<(), Error> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let record = journal::write(&self.name, subject, until, consecutive_locks);
        let saved = journal.save(record).await;
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
