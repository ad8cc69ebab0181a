//! One load under way, and those who wait for it.

use std::sync::Arc;

use tokio::sync::watch;

use super::{answer::Tier, entry::Entry, error::LoadError};

/// What came of a load.
pub(super) type Outcome<V> = Result<(Arc<Entry<V>>, Tier), LoadError>;

/// A load under way. Its outcome is for whoever waits.
#[derive(Debug)]
pub(super) struct Flight<V> {
    /// Microseconds of the cache's clock.
    pub(super) began: u64,
    /// The local generation that it was begun under.
    pub(super) begun: u64,
    outcome: watch::Receiver<Option<Outcome<V>>>,
}

/// For the task that loads. Dropped without an outcome, the waiters get an error.
pub(super) type Landing<V> = watch::Sender<Option<Outcome<V>>>;

impl<V> Flight<V> {
    pub(super) fn begin(began: u64, begun: u64) -> (Self, Landing<V>) {
        let (landing, outcome) = watch::channel(None);
        (Self { began, begun, outcome }, landing)
    }

    pub(super) async fn outcome(&self) -> Outcome<V> {
        let mut outcome = self.outcome.clone();
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.as_ref().map_or_else(|| Err(LoadError::ended()), Clone::clone),
            Err(_) => Err(LoadError::ended()),
        }
    }
}
