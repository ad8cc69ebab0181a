//! The task of a limiter: tells Redis what has ended and what lasts.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::in_flight::InFlight;
use super::inner::Inner;
use crate::Error;
use crate::health::Status;
use crate::redis::Connection;

/// Commands under way at a time.
const AT_ONCE: usize = 32;
/// Between looks at what lasts, at most.
const ROUND: Duration = Duration::from_secs(1);

/// After how long Redis hears again of a request that is in flight still.
pub(super) fn renewal(limit: &InFlight) -> Duration {
    limit.lease() / 3
}

/// Between looks at what lasts.
pub(super) fn period(limit: &InFlight) -> Duration {
    (renewal(limit) / 2).min(ROUND)
}

/// Runs until the limiter is dropped, or the monitor has ended.
pub(super) async fn run(
    inner: Weak<Inner>,
    mut status: watch::Receiver<Status>,
    posted: Arc<Notify>,
    period: Duration,
) {
    let mut next = Instant::now() + period;
    loop {
        let is_round = tokio::select! {
            () = posted.notified() => false,
            () = sleep_until(next) => true,
            changed = status.changed() => match changed {
                Ok(()) => true,
                Err(_ended) => return,
            },
        };
        let Some(inner) = inner.upgrade() else { return };
        if is_round {
            next = Instant::now() + period;
        }
        if inner.redis.monitor().is_available() {
            inner.tell(is_round).await;
        }
    }
}

impl Inner {
    /// What fails is done with the next round.
    async fn tell(&self, is_round: bool) {
        let connection = self.redis.connection();
        let _later = if is_round {
            self.told.clear();
            self.round(&connection, Some(Instant::now())).await
        } else {
            let _in_order = self.round.lock().await;
            self.tell_ended(&connection, false).await
        };
    }

    /// Tells Redis all that has ended, and of what lasts what is due by then; with `None`, everything.
    ///
    /// # Errors
    ///
    /// Only that Redis is away. What is not done then is done by the next round.
    pub(super) async fn round(
        &self,
        connection: &Connection,
        by: Option<Instant>,
    ) -> Result<(), Error> {
        let _in_order = self.round.lock().await;
        self.tell_ended(connection, true).await?;
        let mut answers = stream::iter(self.table.due(by))
            .map(async |(key, holders)| {
                let asked = Instant::now();
                self.remote.renew(&mut connection.clone(), &key, &holders).await?;
                self.table.renewed(&key, &holders, asked + self.renewal());
                Ok(())
            })
            .buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            self.unless_away(answer)?;
        }
        Ok(())
    }

    async fn tell_ended(&self, connection: &Connection, with_later: bool) -> Result<(), Error> {
        let mut answers = stream::iter(self.outbox.collect(with_later))
            .map(async |(key, holders)| {
                let answer = self.remote.release(&mut connection.clone(), &key, &holders).await;
                if answer.as_ref().is_err_and(Error::is_unavailable) {
                    self.outbox.put_back(&key, holders);
                }
                answer
            })
            .buffer_unordered(AT_ONCE);
        let mut all = Ok(());
        while let Some(answer) = answers.next().await {
            all = all.and(self.unless_away(answer));
        }
        all
    }

    /// An error about one subject is told in the log and holds up nobody.
    fn unless_away(&self, answer: Result<(), Error>) -> Result<(), Error> {
        match answer {
            Err(error) if !error.is_unavailable() => {
                if self.told.note() {
                    tracing::warn!(%error, "Redis refused to note what is in flight");
                }
                Ok(())
            }
            answer => answer,
        }
    }
}
