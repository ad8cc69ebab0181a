//! What a lockout can be told before it is built.

use super::{
    journal,
    policy::LockoutPolicy,
    store::{Lockout, Settings},
};
use crate::{
    Error,
    redis::Redis,
    store::{Journal, journal::DynJournal},
};

impl Lockout {
    /// A lockout of this name in this Redis, with every setting at its default. Returns at once,
    /// Redis or no Redis.
    ///
    /// Lockouts of one name (1 to 64 letters, digits or `-`) count together and should have one
    /// policy.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for another name.
    pub fn new(redis: &Redis, name: &str, policy: LockoutPolicy) -> Result<Self, Error> {
        Self::builder(redis, name, policy).build()
    }

    /// A lockout with settings of its own.
    ///
    /// ```no_run
    /// # use evenkeel::store::lockout::{Lockout, LockoutPolicy};
    /// # fn demo(redis: &evenkeel::redis::Redis, policy: LockoutPolicy) -> Result<(), evenkeel::Error> {
    /// let lockout = Lockout::builder(redis, "login", policy).with_capacity(1_000_000).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(redis: &Redis, name: &str, policy: LockoutPolicy) -> LockoutBuilder {
        let settings = Settings { name: name.to_owned(), policy, capacity: 100_000 };
        LockoutBuilder { redis: redis.clone(), settings, journal: () }
    }
}

/// Builds a [`Lockout`]; nothing is started before `build`. `J` is the journal, if there is one.
#[derive(Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct LockoutBuilder<J = ()> {
    redis: Redis,
    settings: Settings,
    journal: J,
}

impl<J> LockoutBuilder<J> {
    /// How many subjects memory keeps at most. Default 100 000, at least 1.
    ///
    /// Nothing that still counts is forgotten to make room: while the table is full, newcomers
    /// share 65 536 states, spread over them by a keyed hash; five wrong logins of made-up names
    /// lock one of these, and nobody can choose whose. It is logged, and counted
    /// (`lockout_events_total{event="overflowed"}`).
    pub fn with_capacity(mut self, subjects: usize) -> Self {
        self.settings.capacity = subjects;
        self
    }

    /// A place on disk for locks, so that they outlive the process during an outage. Failed
    /// attempts that have not led to a lock are not kept there. Default: none.
    pub fn with_journal<K: Journal>(self, journal: K) -> LockoutBuilder<K> {
        LockoutBuilder { redis: self.redis, settings: self.settings, journal }
    }
}

impl LockoutBuilder {
    /// The lockout. Returns at once, Redis or no Redis.
    ///
    /// # Errors
    ///
    /// As [`Lockout::new`].
    pub fn build(self) -> Result<Lockout, Error> {
        Lockout::start(&self.redis, self.settings, None, &[])
    }
}

impl<J: Journal> LockoutBuilder<J> {
    /// The lockout, after the journal was read: the locks in it hold from the beginning. Does not
    /// wait for Redis.
    ///
    /// # Errors
    ///
    /// As [`Lockout::new`], and when the journal cannot be read.
    pub async fn build(self) -> Result<Lockout, Error> {
        let saved = self.journal.load(journal::FEATURE).await?;
        let journal: Box<dyn DynJournal> = Box::new(self.journal);
        Lockout::start(&self.redis, self.settings, Some(journal), &saved)
    }
}
