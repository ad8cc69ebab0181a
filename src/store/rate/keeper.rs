//! The task of a limiter: heartbeats, and what an outage has left over.

use std::sync::Weak;
use std::time::Duration;

use rand::RngExt;
use tokio::time::{Instant, sleep};

use super::inner::Inner;
use super::instances::{Census, Heartbeat};

/// The first heartbeats after each return of Redis come sooner, so that instances that start together soon know of
/// each other.
const SOON: Duration = Duration::from_millis(250);

/// Runs until the limiter is dropped, or the monitor has ended.
pub(super) async fn run(inner: Weak<Inner>, heartbeat: Heartbeat) {
    let Some((mut status, period, expected)) = inner
        .upgrade()
        .map(|inner| (inner.redis.monitor().watch(), inner.period(), inner.expected()))
    else {
        return;
    };
    let mut census = Census::new(period, expected);
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = sleep(wait.mul_f64(rand::rng().random_range(0.9..1.1))) => {}
            changed = status.changed() => match changed {
                Ok(()) => wait = Duration::ZERO,
                Err(_ended) => return,
            },
        }
        let Some(inner) = inner.upgrade() else { return };
        if !inner.redis.monitor().is_available() {
            wait = period;
            continue;
        }
        wait = (wait * 2).clamp(SOON.min(period), period);
        inner.look_after(&heartbeat, &mut census).await;
    }
}

impl Inner {
    /// What fails is done the next time.
    async fn look_after(&self, heartbeat: &Heartbeat, census: &mut Census) {
        let mut connection = self.redis.connection();
        self.told.clear();
        // Left over from just before the announcement, and from what was never an outage: a lost connection, writes
        // that were refused for a while.
        if self.owing.is_noted() {
            let _later = self.settle(&connection, false).await;
        }
        if let Ok(count) = heartbeat.beat(&mut connection).await {
            self.reckon_with(census.note(count, Instant::now()));
        }
    }
}
