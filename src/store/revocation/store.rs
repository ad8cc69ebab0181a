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
    Policy, RevocationConfig, Token, Verdict,
    clock::{Clock, Until, millis, seconds_up},
    law,
    memory::{Entry, Kept, PENDING, Table},
    meter::Meter,
    notes,
    redis::{Cursor, Remote},
    sync,
    token::Digest,
};
use crate::{
    Error, ErrorKind, Source,
    health::{HealthMonitor, Registration, Stage},
    redis::Redis,
    store::{Sink, sink::DynSink, switch::Switch},
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

pub(super) struct Inner {
    pub(super) redis: Redis,
    pub(super) table: Table,
    pub(super) remote: Remote,
    pub(super) meter: Meter,
    pub(super) clock: Clock,
    pub(super) wake: Notify,
    /// The table in Redis that knows all that is known here; 0 for none.
    pub(super) word: AtomicU64,
    pub(super) cursor: Mutex<Option<Cursor>>,
    /// What Redis knows is known here, or was when the outage began.
    in_step: AtomicBool,
    switch: Switch,
    sink: Option<Box<dyn DynSink>>,
    policy: Policy,
    token_life: Duration,
}

/// Who knows of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "it may only be noted here"]
pub enum Propagation {
    /// Redis, and so every instance.
    Propagated,
    /// This instance, and its [`Sink`] if it has one. It is pushed to Redis before Redis counts as available again.
    Pending,
}

impl Propagation {
    /// Redis knows.
    pub const fn is_propagated(self) -> bool {
        matches!(self, Self::Propagated)
    }
}

/// What became of one check, with the policy applied. The layer puts it into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decision {
    /// What is known of the token.
    pub verdict: Verdict,
    /// Who said so: Redis, or this instance's memory.
    pub source: Source,
    policy: Policy,
}

impl Decision {
    /// The token may be used: it is clear, or nobody can tell and the policy is [`Policy::Open`].
    pub fn is_admitted(self) -> bool {
        match self.verdict {
            Verdict::Revoked => false,
            Verdict::Clear => true,
            Verdict::Unknown => self.policy == Policy::Open,
        }
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
    /// The sink could not be read: without it, what was revoked before the start would be accepted.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub async fn with_sink(
        redis: &Redis,
        config: RevocationConfig,
        sink: impl Sink,
    ) -> Result<Self, Error> {
        let notes = sink.load(notes::FEATURE).await?;
        Ok(Self::start(redis, config, Some(Box::new(sink)), notes::read(&notes)))
    }

    fn start(
        redis: &Redis,
        config: RevocationConfig,
        sink: Option<Box<dyn DynSink>>,
        known: Vec<Entry>,
    ) -> Self {
        let inner = Arc::new(Inner {
            redis: redis.clone(),
            table: Table::new(config.bound),
            remote: Remote::new(redis.namespace()),
            meter: Meter::new(redis.metrics()),
            clock: Clock::start(),
            wake: Notify::new(),
            word: AtomicU64::new(0),
            cursor: Mutex::default(),
            in_step: AtomicBool::new(false),
            switch: Switch::new(redis, "revocation"),
            sink,
            policy: config.policy,
            token_life: config.token_life,
        });
        for entry in known {
            inner.note(entry);
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
    /// [`ErrorKind::Invalid`] for an id that is empty or over 64 KiB, and for an expiry beyond a century. Any error of the [`Sink`] while Redis
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
    /// outage began, else [unknown](Verdict::Unknown).
    pub async fn check(&self, token: &Token) -> Decision {
        match self.check_here(token) {
            Some(decision) => decision,
            None => self.check_redis(token).await,
        }
    }

    /// The part of [`check`](Self::check) that needs no I/O; `None` when Redis has to be asked.
    #[inline]
    pub fn check_here(&self, token: &Token) -> Option<Decision> {
        let inner = &*self.inner;
        if law::is_revoked(inner.table.known(token), token.issued_at) {
            return Some(inner.decide(Verdict::Revoked, Source::Memory));
        }
        if inner.redis.monitor().can_read() { None } else { Some(inner.without_redis(token)) }
    }

    /// Asks Redis about a token that [`check_here`](Self::check_here) knows nothing of.
    pub async fn check_redis(&self, token: &Token) -> Decision {
        let inner = &*self.inner;
        match inner.remote.ask(&mut inner.redis.connection(), token).await {
            Ok(Some((head, known))) if head.word == inner.word.load(Ordering::Acquire) => {
                let revoked = law::is_revoked(known, token.issued_at);
                let verdict = if revoked { Verdict::Revoked } else { Verdict::Clear };
                inner.decide(verdict, Source::Redis)
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
        self.inner.in_step.load(Ordering::Acquire)
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

impl Inner {
    async fn revoke(
        &self,
        digest: Digest,
        until: SystemTime,
        cut_off: u64,
    ) -> Result<Propagation, Error> {
        // One that has passed counts from now: the grace is for those whose clock is behind.
        let until = Until::from_unix(seconds_up(until).max(self.clock.now() / 1000));
        let entry = Entry { digest, until, cut_off };
        self.note(entry);
        let (told, saved) = tokio::join!(self.tell(entry), self.save(entry));
        match (told, saved) {
            (Propagation::Propagated, Err(error)) => {
                tracing::warn!(%error, "a revocation was not saved; Redis has it");
                Ok(told)
            }
            (told, saved) => saved.map(|()| told),
        }
    }

    fn note(&self, entry: Entry) {
        let now = self.clock.latest();
        if self.table.note(entry, PENDING, now) == Kept::No {
            tracing::error!(
                "no room for a revocation that Redis does not know: all tokens issued until now are revoked"
            );
            self.table.raise_of_all(now + 1);
        }
    }

    async fn tell(&self, entry: Entry) -> Propagation {
        let tick = self.clock.tick();
        match self.remote.note(&mut self.redis.connection(), &[entry], 0).await {
            Ok((Some(head), _)) if head.word == self.word.load(Ordering::Acquire) => {
                self.table.settle(&[entry], tick);
                Propagation::Propagated
            }
            Ok(_) => {
                self.wake.notify_one();
                Propagation::Pending
            }
            Err(error) => {
                if !error.is_unavailable() {
                    tracing::warn!(%error, "Redis does not take a revocation");
                }
                self.redis.monitor().demand();
                Propagation::Pending
            }
        }
    }

    async fn save(&self, entry: Entry) -> Result<(), Error> {
        match &self.sink {
            Some(sink) => sink.save(notes::write(entry)).await,
            None => Ok(()),
        }
    }

    pub(super) fn set_in_step(&self, in_step: bool) {
        self.in_step.store(in_step, Ordering::Release);
    }

    fn without_redis(&self, token: &Token) -> Decision {
        let in_step = self.in_step.load(Ordering::Acquire);
        let verdict = law::without_redis(in_step, self.table.horizon(), token.issued_at);
        let served = self.switch.without(verdict);
        self.decide(served.value, served.source)
    }

    #[inline]
    fn decide(&self, verdict: Verdict, source: Source) -> Decision {
        self.meter.checked(verdict, self.policy);
        Decision { verdict, source, policy: self.policy }
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
