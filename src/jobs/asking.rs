//! How a job reaches Redis: one lost connection does not cost it a tick.

use std::time::Duration;

use tokio::time::sleep;

use super::redis::{Ask, Decision, RemoteLease};
use crate::{
    Error,
    health::{HealthMonitor, State},
};

/// Times that Redis is asked for one tick.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(10);
/// How long it is waited for Redis between two tries.
const WAIT: Duration = Duration::from_millis(100);
/// How long a suspicion takes to be settled, at most.
const SETTLING: Duration = Duration::from_secs(1);

/// Is Redis there? Where that is being verified, the verdict is waited for.
pub(super) async fn is_reached(monitor: &HealthMonitor) -> bool {
    let is_there = monitor.is_available()
        || (monitor.state() == State::Suspect && monitor.wait_available(SETTLING).await);
    if !is_there {
        monitor.request_probe();
    }
    is_there
}

/// Asks Redis for a tick. The answer to one try may have been lost: with the same `attempt` the
/// next one gets it again.
pub(super) async fn ask(
    remote: &RemoteLease,
    monitor: &HealthMonitor,
    what: Ask,
    attempt: u64,
) -> Result<Decision, Error> {
    let mut tries = 1;
    loop {
        match remote.ask(what, attempt).await {
            Err(error) if error.is_unavailable() && tries < TRIES => tries += 1,
            answer => return answer,
        }
        sleep(PAUSE).await;
        monitor.wait_available(WAIT).await;
    }
}
