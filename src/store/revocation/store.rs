//! The handle: revokes and checks.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    answer::RevocationDecision,
    clock::{CENTURY, Until, millis, seconds_up},
    journal,
    law::{self, RevocationStatus, UnknownPolicy},
    metrics::RevocationMetrics,
    shard::Entry,
    shared::Shared,
    sync::LogFollower,
    token::{Digest, Token},
};
use crate::{
    Error, ErrorKind, Source,
    health::HealthMonitor,
    redis::{Following, Redis},
    store::{
        Propagation,
        finish::finish,
        journal::DynJournal,
        replay::Replay,
        switch::{Needs, Step, Switch},
    },
    telemetry::Feature,
};

/// Revoked tokens, and subjects whose older tokens are revoked. Cheap to clone; one for a process
/// and namespace.
///
/// See the [module](super) for how it works.
#[derive(Clone)]
pub struct Revocations {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    replay: Arc<Replay<Shared>>,
    /// Ends with the last handle.
    _following: Following,
    switch: Switch,
    metrics: RevocationMetrics,
    journal: Option<Arc<dyn DynJournal>>,
    settings: Settings,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) unknown_policy: UnknownPolicy,
    pub(super) token_life: Duration,
    pub(super) capacity: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            unknown_policy: UnknownPolicy::Closed,
            token_life: Duration::from_secs(30 * 24 * 60 * 60),
            capacity: 1_000_000,
        }
    }
}

impl Revocations {
    pub(super) fn start(
        redis: &Redis,
        settings: Settings,
        journal: Option<Arc<dyn DynJournal>>,
        known: Vec<Entry>,
    ) -> Self {
        let shared = Arc::new(Shared::new(redis, settings.capacity));
        for entry in known {
            shared.insert_pending(entry);
        }
        let replay = Arc::new(Replay::new(redis, Arc::downgrade(&shared)));
        let follower = LogFollower { shared: Arc::clone(&shared), replay: Arc::clone(&replay) };
        let inner = Inner {
            _following: redis.follow(Arc::new(follower)),
            switch: Switch::new(redis, Feature::Revocation, Needs::Reads),
            metrics: RevocationMetrics::new(redis.metrics()),
            shared,
            replay,
            journal,
            settings,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Revokes the token with this id until `until`, its own expiry.
    ///
    /// It holds here from the first poll on. A future that is dropped after that is carried to its
    /// end all the same, so a client that goes away takes back no revocation.
    ///
    /// An expiry that has passed already is kept for two minutes all the same: clocks differ.
    /// Revoking again changes nothing, or raises the expiry.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for an id that is empty or over 64 KiB, and for an expiry beyond a
    /// century. Any error of the [`Journal`](crate::store::Journal) while Redis is away; the token
    /// is revoked here even then.
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
        self.add(digest, until, 0).await
    }

    /// Revokes everything that `subject` was issued before `issued_before`: "log out everywhere".
    /// Kept for as long as tokens [live](super::RevocationsBuilder::with_token_life).
    ///
    /// A JWT's `iat` is in whole seconds, rounded down: a token issued in the second of
    /// `issued_before` counts as issued before it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a subject that is empty or over 64 KiB, and for an instant beyond
    /// a century; else as [`revoke`](Self::revoke).
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
        let until = issued_before.max(now) + self.inner.settings.token_life;
        self.add(digest, until, millis(issued_before).max(1)).await
    }

    async fn add(
        &self,
        digest: Digest,
        until: SystemTime,
        cut_off: u64,
    ) -> Result<Propagation, Error> {
        let shared = &self.inner.shared;
        // One that has passed counts from now: the grace is for those whose clock is behind.
        let until = seconds_up(until).max(shared.clock.now() / 1000);
        let entry = Entry { digest, until: Until::from_unix(until), cut_off };
        shared.insert_pending(entry);
        let (told, saved) = tokio::join!(self.inner.propagate(entry), self.save(entry));
        match (told, saved) {
            (Propagation::Propagated, Err(error)) => {
                tracing::warn!(%error, "a revocation was not saved; Redis has it");
                Ok(told)
            }
            (told, saved) => saved.map(|()| told),
        }
    }

    async fn save(&self, entry: Entry) -> Result<(), Error> {
        let Some(journal) = self.inner.journal.clone() else { return Ok(()) };
        let save = async move { journal.save(journal::write(entry)).await };
        finish(&self.inner.shared.redis, save).await
    }

    /// Is this token revoked? At most one round trip; none when it is known to be, or while Redis
    /// is away.
    ///
    /// # When Redis is down
    ///
    /// A token that is known to be revoked is; another one is clear when this instance was in step
    /// with Redis as the outage began, else [unknown](RevocationStatus::Unknown).
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
        if law::is_revoked(inner.shared.table.lookup(token), token.issued_at) {
            return Some(inner.decide(RevocationStatus::Revoked, Source::Memory));
        }
        match inner.switch.step(|| (), || inner.without_redis(token)) {
            Step::Decided(served) => Some(inner.decide(served.value, served.source)),
            Step::Ask(()) => None,
        }
    }

    /// Asks Redis about a token that [`check_local`](Self::check_local) knows nothing of.
    pub async fn check_redis(&self, token: &Token) -> RevocationDecision {
        let inner = &*self.inner;
        let served = inner.switch.ask(inner.ask(token), || inner.without_redis(token)).await;
        inner.decide(served.value, served.source)
    }

    /// Everything that Redis knows is known here, or was when the running outage began.
    pub fn is_in_step(&self) -> bool {
        self.inner.shared.is_in_step()
    }

    /// How many revocations are held here.
    pub fn len(&self) -> usize {
        self.inner.shared.table.len()
    }

    /// Whether none is held here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What says whether Redis is there.
    pub fn monitor(&self) -> &HealthMonitor {
        self.inner.shared.redis.monitor()
    }
}

impl Inner {
    /// Tells Redis of a revocation that the table holds. Where the caller goes away, the replay
    /// does.
    async fn propagate(&self, entry: Entry) -> Propagation {
        let unless_told = self.replay.guard();
        let Shared { redis, remote, table, clock, .. } = &*self.shared;
        let tick = clock.tick();
        match remote.add(&mut redis.connection(), &[entry], 0).await {
            Ok((Some(head), _)) if head.table_id == self.shared.table_id() => {
                table.confirm(&[entry], tick);
                unless_told.settled();
                Propagation::Propagated
            }
            Ok(_) => Propagation::Pending,
            Err(error) => {
                if !error.is_unavailable() {
                    tracing::warn!(%error, "Redis does not take a revocation");
                }
                redis.monitor().request_probe();
                Propagation::Pending
            }
        }
    }

    async fn ask(&self, token: &Token) -> Result<RevocationStatus, Error> {
        let Shared { redis, remote, .. } = &*self.shared;
        match remote.ask(&mut redis.connection(), token).await? {
            Some((head, known)) if head.table_id == self.shared.table_id() => {
                Ok(match law::is_revoked(known, token.issued_at) {
                    true => RevocationStatus::Revoked,
                    false => RevocationStatus::Clear,
                })
            }
            // Emptied, or another table than the one that knows what we know: as good as no answer.
            _ => Err(Error::new(ErrorKind::Unavailable, "Redis has lost its revocations")),
        }
    }

    fn without_redis(&self, token: &Token) -> RevocationStatus {
        let Shared { table, .. } = &*self.shared;
        law::without_redis(self.shared.is_in_step(), table.horizon(), token.issued_at)
    }

    #[inline]
    fn decide(&self, status: RevocationStatus, source: Source) -> RevocationDecision {
        let policy = self.settings.unknown_policy;
        self.metrics.record(status, policy);
        RevocationDecision { status, source, policy }
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
            .field("unknown_policy", &self.inner.settings.unknown_policy)
            .finish_non_exhaustive()
    }
}
