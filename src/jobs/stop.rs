//! The end of all jobs: asked for once, with a deadline.

use tokio::{sync::watch, time::Instant};

/// Whether the jobs are to end, and by when. Clones are told together.
#[derive(Debug, Clone)]
pub(super) struct Stop(watch::Receiver<Option<Instant>>);

impl Stop {
    pub(super) fn new(stop: &watch::Sender<Option<Instant>>) -> Self {
        Self(stop.subscribe())
    }

    /// By when they are to end; `None`: they are not.
    pub(super) fn deadline(&self) -> Option<Instant> {
        *self.0.borrow()
    }

    /// Returns by when they are to end, when that is asked for. Cancel-safe.
    pub(super) async fn asked(&self) -> Instant {
        let mut stop = self.0.clone();
        match stop.wait_for(Option::is_some).await.map(|deadline| *deadline) {
            Ok(Some(deadline)) => deadline,
            // Nobody is left who could ask.
            _ => std::future::pending().await,
        }
    }
}
