//! The task of a limiter: settles what an outage has left over.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::sleep;

use super::inner::Inner;

/// Runs until the limiter is dropped, or the monitor has ended.
pub(super) async fn run(inner: Weak<Inner>) {
    let Some((mut status, period)) =
        inner.upgrade().map(|inner| (inner.redis.monitor().watch(), inner.redis.probe_interval()))
    else {
        return;
    };
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = sleep(wait) => {}
            changed = status.changed() => if changed.is_err() { return },
        }
        let Some(inner) = inner.upgrade() else { return };
        wait = period;
        if inner.redis.monitor().is_available() {
            inner.look_after().await;
        }
    }
}

impl Inner {
    /// What fails is done the next time.
    async fn look_after(&self) {
        self.told.clear();
        // Left over from just before the announcement, and from what was never an outage: a lost
        // connection, writes that were refused for a while.
        if self.owing.is_noted() {
            let _later = self.settle(&self.redis.connection(), false).await;
        }
    }
}
