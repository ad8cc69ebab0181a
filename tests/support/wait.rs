//! Waiting for something to become true.

use std::time::{Duration, Instant};

/// Asks `condition` again and again until it holds (`true`) or `timeout` has passed (`false`).
/// It is asked at least once, and one last time after the deadline.
#[must_use = "assert the result: a condition that never held is a failure"]
pub(crate) async fn eventually<F, Fut>(timeout: Duration, mut condition: F) -> bool
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(2);
    loop {
        let last = Instant::now() >= deadline;
        if condition().await {
            return true;
        }
        if last {
            return false;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
