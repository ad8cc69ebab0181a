//! What the revocations can be told before they are built.

use std::{sync::Arc, time::Duration};

use super::{
    clock::CENTURY,
    journal,
    law::UnknownPolicy,
    store::{Revocations, Settings},
};
use crate::{
    Error,
    redis::Redis,
    store::{Journal, journal::DynJournal},
};

impl Revocations {
    /// Revocations in this Redis, with every setting at its default. Returns at once, Redis or no
    /// Redis.
    pub fn new(redis: &Redis) -> Self {
        Self::builder(redis).build()
    }

    /// Revocations with settings of their own.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use evenkeel::store::revocation::{Revocations, UnknownPolicy};
    /// # fn demo(redis: &evenkeel::redis::Redis) {
    /// let revocations = Revocations::builder(redis)
    ///     .with_unknown_policy(UnknownPolicy::Open)
    ///     .with_token_life(Duration::from_secs(3600))
    ///     .build();
    /// # }
    /// ```
    pub fn builder(redis: &Redis) -> RevocationsBuilder {
        RevocationsBuilder { redis: redis.clone(), settings: Settings::default(), journal: () }
    }
}

/// Builds [`Revocations`]; nothing is started before `build`. `J` is the journal, if there is one.
#[derive(Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct RevocationsBuilder<J = ()> {
    redis: Redis,
    settings: Settings,
    journal: J,
}

impl<J> RevocationsBuilder<J> {
    /// What becomes of a token that cannot be judged. Default [`UnknownPolicy::Closed`].
    pub fn with_unknown_policy(mut self, policy: UnknownPolicy) -> Self {
        self.settings.unknown_policy = policy;
        self
    }

    /// The longest that any token lives: cut-offs are kept for so long. A longer time is safe, a
    /// shorter one is not. Default 30 days, at most a century.
    pub fn with_token_life(mut self, life: Duration) -> Self {
        self.settings.token_life = life.min(CENTURY);
        self
    }

    /// The most revocations that this instance keeps in memory, about 60 bytes each. Default
    /// 1 000 000, at least 1.
    ///
    /// Beyond it Redis alone holds what is new, and tokens issued before then are judged with Redis
    /// only. When there is no room for what Redis does not know, everything that was issued until
    /// then is revoked: nothing is silently accepted.
    pub fn with_capacity(mut self, revocations: usize) -> Self {
        self.settings.capacity = revocations;
        self
    }

    /// A place on disk for what is revoked here, so that it outlives the process. Default: none.
    pub fn with_journal<K: Journal>(self, journal: K) -> RevocationsBuilder<K> {
        RevocationsBuilder { redis: self.redis, settings: self.settings, journal }
    }
}

impl RevocationsBuilder {
    /// The revocations. Returns at once, Redis or no Redis.
    #[must_use]
    pub fn build(self) -> Revocations {
        Revocations::start(&self.redis, self.settings, None, Vec::new())
    }
}

impl<J: Journal> RevocationsBuilder<J> {
    /// The revocations, after the journal was read: what it holds counts from the beginning. Does
    /// not wait for Redis.
    ///
    /// # Errors
    ///
    /// The journal could not be read: without it, what was revoked before the start would be
    /// accepted.
    pub async fn build(self) -> Result<Revocations, Error> {
        let records = self.journal.load(journal::FEATURE).await?;
        let journal: Arc<dyn DynJournal> = Arc::new(self.journal);
        let known = journal::read(&records);
        Ok(Revocations::start(&self.redis, self.settings, Some(journal), known))
    }
}
