//! Renews the lease of a run for as long as the run lasts.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use super::{
    lease::{Fence, Holding, Lease},
    redis::RemoteLease,
};

/// Between attempts to renew after one that failed, at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A lease that is held for one run, and is renewed until this is dropped.
pub(super) struct LeaseGuard {
    pub(super) fence: Fence,
    pub(super) holding: Arc<Holding>,
    keeper: AbortHandle,
}

impl LeaseGuard {
    /// Taken by a command that was sent at `sent`. Inside a tokio runtime.
    pub(super) fn new(remote: &Arc<RemoteLease>, fence: Fence, sent: Instant) -> Self {
        let holding = Arc::new(Holding::new(remote.lease(), sent));
        let keep = keep(Arc::clone(remote), fence, Arc::clone(&holding), sent);
        Self { fence, holding, keeper: tokio::spawn(keep).abort_handle() }
    }

    /// The run is given up: it is told, and the lease ends by itself unless it is given back.
    pub(super) fn give_up(&self) {
        self.keeper.abort();
        self.holding.lose();
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn keep(remote: Arc<RemoteLease>, fence: Fence, holding: Arc<Holding>, sent: Instant) {
    let lease = remote.lease();
    let mut due = sent + lease.renewal();
    loop {
        sleep_until(due).await;
        // The process may have stood still.
        if holding.check().is_err() {
            break;
        }
        let asked = Instant::now();
        due = match remote.renew(fence).await {
            Ok(true) => {
                holding.renewed(lease, asked);
                asked + lease.renewal()
            }
            Ok(false) => break holding.lose(),
            Err(_) => Instant::now() + pause(lease),
        };
    }
    tracing::warn!(job = remote.job(), "the lease is lost in the middle of a run: the run is told");
}

fn pause(lease: Lease) -> Duration {
    (lease.length() / 20).min(LONGEST_PAUSE)
}
