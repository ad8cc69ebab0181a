//! The handle.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{sync::Notify, task::AbortHandle};

use super::{
    Propagation, RevocationConfig, RevocationDecision, RevocationStatus, Token,
    clock::{Clock, millis},
    inner::Inner,
    journal, law,
    memory::Table,
    metrics::RevocationMetrics,
    redis::Remote,
    shard::Entry,
    sync,
    token::Digest,
};
use crate::{
    Error, ErrorKind, Source,
    health::{HealthMonitor, Registration, Stage},
    redis::Redis,
    store::{
        Journal,
        journal::DynJournal,
        switch::{Needs, Switch},
    },
    telemetry::Feature,
};

/// The longest life of a revocation.
pub(super) const CENTURY: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

/// Revoked tokens, and subjects whose older tokens are revoked. Cheap to clone; one for a process and namespace.
///
/// See the [module](super) for how it works.
#[derive(Clone)]
pub struct Revocations {
    inner: Arc<Inner>,
    _alive: Arc<Alive>,
}

/// Ends with the last handle.
struct Alive {
    task: AbortHandle,
    _step: Registration,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Revocations {
    /// Revocations in this Redis. Returns at once, Redis or no Redis.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. (A [`Redis`] cannot be had outside of one either.)
    pub fn new(redis: &Redis, config: RevocationConfig) -> Self {
        Self::start(redis, config, None, Vec::new())
    }

    /// The same, with a place on disk for what is revoked here. What it holds is read first, and counts from the beginning.
    ///
    /// # Errors
    ///
    /// The journal could not be read: without it, what was revoked before the start would be accepted.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub async fn with_journal(
        redis: &Redis,
        config: RevocationConfig,
        journal: impl Journal,
    ) -> Result<Self, Error> {
        let notes = journal.load(journal::FEATURE).await?;
        Ok(Self::start(redis, config, Some(Box::new(journal)), journal::read(&notes)))
    }

    fn start(
        redis: &Redis,
        config: RevocationConfig,
        journal: Option<Box<dyn DynJournal>>,
        known: Vec<Entry>,
    ) -> Self {
        let inner = Arc::new(Inner {
            redis: redis.clone(),
            table: Table::new(config.bound),
            remote: Remote::new(redis.namespace()),
            metrics: RevocationMetrics::new(redis.metrics()),
            clock: Clock::start(),
            wake: Notify::new(),
            table_id: AtomicU64::new(0),
            cursor: Mutex::default(),
            in_step: AtomicBool::new(false),
            switch: Switch::new(redis, Feature::Revocation, Needs::Reads),
            journal,
            policy: config.policy,
            token_life: config.token_life,
        });
        for entry in known {
            inner.insert(entry);
        }
        let weak = Arc::downgrade(&inner);
        let step = redis.on_recovery(Stage::Guards, "revocations", move |connection, recovery| {
            let weak = weak.clone();
            async move {
                match weak.upgrade() {
                    Some(store) => store.recover(connection, recovery).await,
                    None => Ok(()),
                }
            }
        });
        let task = tokio::spawn(sync::follow(Arc::clone(&inner))).abort_handle();
        Self { inner, _alive: Arc::new(Alive { task, _step: step }) }
    }

    /// Revokes the token with this id until `until`, its own expiry. Holds here from the first poll on, also when the
    /// future is dropped.
    ///
    /// An expiry that has passed already is kept for two minutes all the same: clocks differ. Revoking again changes nothing, or raises the expiry.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for an id that is empty or over 64 KiB, and for an expiry beyond a century. Any error of the [`Journal`] while Redis
    /// is away; the token is revoked here even then.
    ///
    /// # When Redis is down
    ///
    /// It holds here at once, and everywhere when Redis is back: [`Propagation::Pending`].
    pub async fn revoke(
        &self,
        id: impl AsRef<[u8]>,
        until: SystemTime,
    ) -> Result<Propagation, Error> {
        let digest =
            Digest::of_id(id.as_ref()).ok_or_else(|| invalid("a token id has 1 byte to 64 KiB"))?;
        if until > SystemTime::now() + CENTURY {
            return Err(invalid("a revocation ends within a century"));
        }
        self.inner.revoke(digest, until, 0).await
    }

    /// Revokes everything that `subject` was issued before `issued_before`: "log out everywhere". Kept for as long as tokens
    /// [live](RevocationConfig::with_token_life).
    ///
    /// A JWT's `iat` is in whole seconds, rounded down: a token issued in the second of `issued_before` counts as issued before it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a subject that is empty or over 64 KiB, and for an instant beyond a century; else as [`revoke`](Self::revoke).
    ///
    /// # When Redis is down
    ///
    /// As [`revoke`](Self::revoke).
    pub async fn revoke_subject(
        &self,
        subject: impl AsRef<[u8]>,
        issued_before: SystemTime,
    ) -> Result<Propagation, Error> {
        let digest = Digest::of_subject(subject.as_ref())
            .ok_or_else(|| invalid("a subject has 1 byte to 64 KiB"))?;
        let now = SystemTime::now();
        if issued_before > now + CENTURY {
            return Err(invalid("a cut-off lies within a century"));
        }
        let until = issued_before.max(now) + self.inner.token_life;
        self.inner.revoke(digest, until, millis(issued_before).max(1)).await
    }

    /// Is this token revoked? At most one round trip; none when it is known to be, or while Redis is away.
    ///
    /// # When Redis is down
    ///
    /// A token that is known to be revoked is; another one is clear when this instance was in step with Redis as the
    /// outage began, else [unknown](RevocationStatus::Unknown).
    pub async fn check(&self, token: &Token) -> RevocationDecision {
        match self.check_local(token) {
            Some(decision) => decision,
            None => self.check_redis(token).await,
        }
    }

    /// The part of [`check`](Self::check) that needs no I/O; `None` when Redis has to be asked.
    #[inline]
    pub fn check_local(&self, token: &Token) -> Option<RevocationDecision> {
        let inner = &*self.inner;
        if law::is_revoked(inner.table.lookup(token), token.issued_at) {
            return Some(inner.decide(RevocationStatus::Revoked, Source::Memory));
        }
        if inner.redis.monitor().can_read() { None } else { Some(inner.without_redis(token)) }
    }

    /// Asks Redis about a token that [`check_local`](Self::check_local) knows nothing of.
    pub async fn check_redis(&self, token: &Token) -> RevocationDecision {
        let inner = &*self.inner;
        match inner.remote.ask(&mut inner.redis.connection(), token).await {
            Ok(Some((head, known))) if head.table_id == inner.table_id.load(Ordering::Acquire) => {
                let revoked = law::is_revoked(known, token.issued_at);
                let status =
                    if revoked { RevocationStatus::Revoked } else { RevocationStatus::Clear };
                inner.decide(status, Source::Redis)
            }
            // Emptied, or another table than the one that knows what we know: as good as no answer.
            Ok(_) => {
                inner.wake.notify_one();
                inner.without_redis(token)
            }
            Err(error) => {
                if !error.is_unavailable() {
                    tracing::debug!(%error, "Redis cannot say whether a token is revoked");
                    inner.wake.notify_one();
                }
                inner.without_redis(token)
            }
        }
    }

    /// Everything that Redis knows is known here, or was when the running outage began.
    pub fn is_in_step(&self) -> bool {
        self.inner.is_in_step()
    }

    /// How many revocations are held here.
    pub fn len(&self) -> usize {
        self.inner.table.len()
    }

    /// Whether none is held here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What says whether Redis is there.
    pub fn monitor(&self) -> &HealthMonitor {
        self.inner.redis.monitor()
    }
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations")
            .field("held", &self.len())
            .field("in_step", &self.is_in_step())
            .field("policy", &self.inner.policy)
            .finish_non_exhaustive()
    }
}
