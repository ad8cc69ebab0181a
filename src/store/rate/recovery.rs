//! Settling up: what was admitted without Redis is charged to it, once.
//!
//! A pass walks through the table part by part, at most [`AT_ONCE`] charges under way. Each carries a mark that Redis
//! keeps beside the subject: a charge whose answer was lost is sent again under the same mark, and not counted
//! twice. What Redis refuses to take (an error about that one key) is left for the next pass and holds up nobody.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::inner::{Flag, Inner};
use super::memory::Owed;
use crate::Error;
use crate::redis::{Connection, Redis};
use crate::telemetry::{Counter, names};

/// Charges under way at a time: enough to fill a round trip, too few to be in anybody's way.
const AT_ONCE: usize = 32;
/// A pass that takes longer leaves the rest to the next: the recovery must not wait for it.
const LONGEST: Duration = Duration::from_secs(2);

/// What has been charged, and what may have been.
pub(super) struct Ledger {
    /// One pass at a time.
    page: Mutex<Page>,
    /// No other limiter, here or elsewhere, has this name.
    name: String,
    applied: Counter,
    discarded: Counter,
    failed: Counter,
}

/// Charges that were drawn up together and may have reached Redis: kept until it has answered.
#[derive(Default)]
struct Page {
    number: u64,
    in_doubt: Vec<Option<Arc<Owed>>>,
    /// Redis has lost data, and not everything is restored yet.
    lost: bool,
}

impl Ledger {
    pub(super) fn new(redis: &Redis) -> Self {
        let outcome = |outcome| {
            let labels = [("feature", "rate_limit"), ("outcome", outcome)];
            redis.metrics().counter(names::RECOVERY_REPLAYED, &labels)
        };
        Self {
            page: Mutex::default(),
            name: format!("{:016x}", rand::random::<u64>()),
            applied: outcome("applied"),
            discarded: outcome("discarded"),
            failed: outcome("failed"),
        }
    }
}

impl Inner {
    /// Charges Redis for what is owed. With `lost`, Redis may have forgotten what it told us: that is restored.
    ///
    /// # Errors
    ///
    /// Only that Redis is away. What is not done then is done by the next pass.
    pub(super) async fn settle(&self, connection: &Connection, lost: bool) -> Result<(), Error> {
        let until = Instant::now() + LONGEST;
        let mut page = self.ledger.page.lock().await;
        page.lost |= lost;
        // Noted again unless all is done, wherever this is cut off, and by whoever admits something meanwhile.
        self.owing.clear();
        let mut note = NoteAgain { flag: &self.owing, unless: false };
        note.unless = self.turn_pages(&mut page, connection, until).await?;
        page.lost &= !note.unless;
        Ok(())
    }

    /// `true`: all is done.
    async fn turn_pages(
        &self,
        page: &mut Page,
        connection: &Connection,
        until: Instant,
    ) -> Result<bool, Error> {
        let mut refused = self.charge(page, connection).await?;
        for part in 0.. {
            let owed = self.memory.owed(part, self.now(), self.instances(), page.lost);
            let Some(owed) = owed else { break };
            if owed.is_empty() {
                continue;
            }
            let in_doubt = owed.into_iter().map(|owed| Some(Arc::new(owed))).collect();
            *page = Page { number: page.number.wrapping_add(1), in_doubt, ..*page };
            refused = self.charge(page, connection).await?.or(refused);
            if Instant::now() > until {
                tracing::warn!("settling rate limits takes long: the rest is left for later");
                return Ok(false);
            }
        }
        if let Some(error) = &refused {
            tracing::warn!(%error, "Redis refused to be charged for a rate limit: left for later");
        }
        Ok(refused.is_none())
    }

    /// Charges one page. Redis's word is entered as it comes, so nothing is in doubt that was answered, wherever
    /// this is cut off. Returns the last error that was about one subject alone.
    async fn charge(
        &self,
        page: &mut Page,
        connection: &Connection,
    ) -> Result<Option<Error>, Error> {
        let Page { number, in_doubt, .. } = page;
        let mark = &format!("{}:{number}", self.ledger.name);
        let due: Vec<_> = in_doubt.iter().cloned().enumerate().collect();
        let mut answers = stream::iter(due)
            .filter_map(|(place, owed)| ready(owed.map(|owed| (place, owed))))
            .map(async |(place, owed)| {
                (place, self.charge_one(connection.clone(), &owed, mark).await)
            })
            .buffer_unordered(AT_ONCE);
        let mut refused = None;
        while let Some((place, answer)) = answers.next().await {
            match answer {
                Ok(()) => {}
                Err(error) if error.is_unavailable() => return Err(error),
                Err(error) => {
                    self.ledger.failed.add(1);
                    refused = Some(error);
                }
            }
            if let Some(answered) = in_doubt.get_mut(place) {
                *answered = None;
            }
        }
        in_doubt.clear();
        Ok(refused)
    }

    async fn charge_one(
        &self,
        mut connection: Connection,
        owed: &Owed,
        mark: &str,
    ) -> Result<(), Error> {
        // Not when it is answered: then nobody is refused here for longer than there.
        let asked = self.now();
        let charge = owed.charge_at(asked);
        if !charge.is_due() && !charge.is_known() {
            return Ok(());
        }
        let Owed { policy, subject, .. } = owed;
        let answer = self.remote.charge(&mut connection, policy, subject, &charge, mark).await;
        let (first, debts) = answer?;
        self.memory.settle(owed, asked, &debts);
        let outcome = if first { &self.ledger.applied } else { &self.ledger.discarded };
        outcome.add(1);
        Ok(())
    }
}

/// Notes at its end, wherever that is.
struct NoteAgain<'a> {
    flag: &'a Flag,
    unless: bool,
}

impl Drop for NoteAgain<'_> {
    fn drop(&mut self) {
        if !self.unless {
            self.flag.note();
        }
    }
}
