//! What the handle, the task and the recovery step share.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::sync::Notify;

use super::{
    Propagation, RevocationDecision, RevocationStatus, Token, UnknownPolicy,
    clock::{Clock, Until, seconds_up},
    journal, law,
    memory::{Kept, Table},
    metrics::RevocationMetrics,
    redis::{Cursor, Remote},
    shard::{Entry, PENDING},
    token::Digest,
};
use crate::{
    Error, Source,
    redis::Redis,
    store::{journal::DynJournal, switch::Switch},
};

pub(super) struct Inner {
    pub(super) redis: Redis,
    pub(super) table: Table,
    pub(super) remote: Remote,
    pub(super) metrics: RevocationMetrics,
    pub(super) clock: Clock,
    pub(super) wake: Notify,
    /// The table in Redis that knows all that is known here; 0 for none.
    pub(super) table_id: AtomicU64,
    pub(super) cursor: Mutex<Option<Cursor>>,
    /// What Redis knows is known here, or was when the outage began.
    pub(super) in_step: AtomicBool,
    pub(super) switch: Switch,
    pub(super) journal: Option<Box<dyn DynJournal>>,
    pub(super) policy: UnknownPolicy,
    pub(super) token_life: Duration,
}

impl Inner {
    pub(super) async fn revoke(
        &self,
        digest: Digest,
        until: SystemTime,
        cut_off: u64,
    ) -> Result<Propagation, Error> {
        // One that has passed counts from now: the grace is for those whose clock is behind.
        let until = Until::from_unix(seconds_up(until).max(self.clock.now() / 1000));
        let entry = Entry { digest, until, cut_off };
        self.insert(entry);
        let (told, saved) = tokio::join!(self.tell(entry), self.save(entry));
        match (told, saved) {
            (Propagation::Propagated, Err(error)) => {
                tracing::warn!(%error, "a revocation was not saved; Redis has it");
                Ok(told)
            }
            (told, saved) => saved.map(|()| told),
        }
    }

    pub(super) fn insert(&self, entry: Entry) {
        let now = self.clock.latest();
        if self.table.insert(entry, PENDING, now) == Kept::No {
            tracing::error!(
                "no room for a revocation that Redis does not know: all tokens issued until now are revoked"
            );
            self.table.raise_global_cut_off(now + 1);
        }
    }

    async fn tell(&self, entry: Entry) -> Propagation {
        let tick = self.clock.tick();
        match self.remote.add(&mut self.redis.connection(), &[entry], 0).await {
            Ok((Some(head), _)) if head.table_id == self.table_id.load(Ordering::Acquire) => {
                self.table.confirm(&[entry], tick);
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
                self.redis.monitor().request_probe();
                Propagation::Pending
            }
        }
    }

    async fn save(&self, entry: Entry) -> Result<(), Error> {
        match &self.journal {
            Some(journal) => journal.save(journal::write(entry)).await,
            None => Ok(()),
        }
    }

    pub(super) fn is_in_step(&self) -> bool {
        self.in_step.load(Ordering::Acquire)
    }

    pub(super) fn set_in_step(&self, in_step: bool) {
        self.in_step.store(in_step, Ordering::Release);
    }

    pub(super) fn without_redis(&self, token: &Token) -> RevocationDecision {
        let status = law::without_redis(self.is_in_step(), self.table.horizon(), token.issued_at);
        let served = self.switch.from_memory(status);
        self.decide(served.value, served.source)
    }

    #[inline]
    pub(super) fn decide(&self, status: RevocationStatus, source: Source) -> RevocationDecision {
        self.metrics.checked(status, self.policy);
        RevocationDecision { status, source, policy: self.policy }
    }
}
